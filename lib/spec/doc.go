// Package spec makes, changes, explains, compares and checks the config.json
// of an OCI runtime bundle.
//
// A Document is an ordered JSON tree, not a specs.Spec: a filter must keep
// members that this version does not know, an explicit false that omitempty
// would drop, the order of keys, and 64-bit numbers to the last digit. Each
// value remembers the Origin that put it there, which is what --explain
// prints.
//
// Generate makes a document out of an image config, a default profile and
// Options; Filter applies Options to a document that is there already. Both
// run the same code for the same flag. Nothing here starts a program, and all
// paths that an image names are resolved inside its rootfs.
package spec

import (
	"bytes"
	"fmt"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// MaxSize bounds a config.json, an image config and every other JSON document
// read here: 4 MiB, as the image-spec recommends for manifests.
const MaxSize = 4 << 20

// maxDepth bounds the nesting of a document. The deepest member of the
// runtime-spec, a seccomp argument, lies at depth 6.
const maxDepth = 512

// Origin says where a value came from and why.
type Origin struct {
	// Source is the kind of source and the place in it: "image:config.Env",
	// "default:podman", "host:cgroup2", "flag:--user", "derived:user", "input".
	Source string `json:"source"`
	// Why is the reason, with the section of the specification behind it.
	Why string `json:"why,omitempty"`
}

// Document is a config.json.
type Document struct {
	root *node
}

// Parse reads a config.json: one JSON object of at most MaxSize bytes, in
// which no key occurs twice. Anything else is refused.
func Parse(data []byte) (*Document, error) {
	root, err := parseJSON(data)
	if err != nil {
		return nil, fmt.Errorf("parse config.json: %w", err)
	}
	if root.kind != kindObject {
		return nil, fault.Refused("parse config.json: the document is %s, not an object", root.kind)
	}
	root.from = &Origin{Source: "input"}
	return &Document{root: root}, nil
}

// Bytes writes the document with two spaces of indentation and a newline at
// its end, the form that jq prints. Equal documents are equal bytes.
func (d *Document) Bytes() []byte {
	var b bytes.Buffer
	d.root.encode(&b, 0)
	b.WriteByte('\n')
	return b.Bytes()
}

// Clone returns a copy that shares nothing with d.
func (d *Document) Clone() *Document { return &Document{root: d.root.clone()} }

// get returns the value at the path of keys, or nil.
func (d *Document) get(path ...string) *node {
	n := d.root
	for _, key := range path {
		if n = n.member(key); n == nil {
			return nil
		}
	}
	return n
}

// set puts the value at the path of keys, and makes the objects above it.
// A value that is equal already keeps its origin: a flag that changes nothing
// leaves no trace.
func (d *Document) set(from *Origin, value *node, path ...string) {
	parent := d.root
	for _, key := range path[:len(path)-1] {
		child := parent.member(key)
		if child == nil || child.kind != kindObject {
			child = newObject()
			parent.put(key, child)
		}
		parent = child
	}
	last := path[len(path)-1]
	if old := parent.member(last); old != nil && old.equal(value) {
		return
	}
	value.from = from
	parent.put(last, value)
}

// remove deletes the value at the path of keys.
func (d *Document) remove(path ...string) {
	if parent := d.get(path[:len(path)-1]...); parent != nil {
		parent.drop(path[len(path)-1])
	}
}

// list returns the array at the path, and makes an empty one where there is
// none.
func (d *Document) list(from *Origin, path ...string) *node {
	if n := d.get(path...); n != nil && n.kind == kindArray {
		return n
	}
	n := newArray()
	n.from = from
	d.set(from, n, path...)
	return d.get(path...)
}

// strings returns the strings of the array at the path.
func (d *Document) strings(path ...string) []string {
	return d.get(path...).texts()
}

// text returns the string at the path, or "".
func (d *Document) text(path ...string) string {
	return d.get(path...).text()
}

// RootPath is root.path.
func (d *Document) RootPath() string { return d.text("root", "path") }

// Args are process.args.
func (d *Document) Args() []string { return d.strings("process", "args") }

// Terminal is process.terminal.
func (d *Document) Terminal() bool { return d.get("process", "terminal").isTrue() }

// Annotation is the value of an annotation, or "".
func (d *Document) Annotation(key string) string { return d.text("annotations", key) }
