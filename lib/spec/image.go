package spec

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// Image is the part of an image config that concerns a config.json.
type Image struct {
	OS, Architecture, Variant, OSVersion string
	OSFeatures                           []string
	Author, Created                      string
	User, WorkingDir, StopSignal         string
	Env, Entrypoint, Cmd                 []string
	// Volumes and ExposedPorts are in the order of the document.
	Volumes, ExposedPorts []string
	// Labels are in the order of the document.
	Labels []Label
	// Ignored are the members that a config.json has no place for.
	Ignored []Ignored
}

// Label is one label of an image.
type Label struct{ Key, Value string }

// Ignored is a member of an image config, or an annotation, that was left out.
type Ignored struct {
	// Pointer is the JSON pointer of the member in the image config.
	Pointer string `json:"pointer"`
	// Why is the reason.
	Why string `json:"why"`
}

// known are the members of an image config by the object they stand in; the
// reason is "" for those that are used.
var known = map[string]map[string]string{
	"": {
		"os": "", "architecture": "", "variant": "", "os.version": "", "os.features": "", "author": "", "created": "", "config": "",
		"rootfs": "lists the layers, which are unpacked already", "history": "tells how the image was built",
		"container_config": "Docker's record of the last build step", "docker_version": "Docker's own", "id": "Docker's own",
		"parent": "Docker's own", "container": "Docker's own", "moby.buildkit.buildinfo.v1": "BuildKit's own",
	},
	"config": {
		"User": "", "ExposedPorts": "", "Env": "", "Entrypoint": "", "Cmd": "", "Volumes": "", "WorkingDir": "", "Labels": "", "StopSignal": "",
		"Memory": "deprecated; use --memory", "MemorySwap": "deprecated; use --memory-swap", "CpuShares": "deprecated; use --cpu-shares",
		"Healthcheck":     "no runtime has health checks, an engine runs them",
		"Shell":           "serves the builder only",
		"OnBuild":         "serves the builder only",
		"ArgsEscaped":     "concerns Windows only",
		"NetworkDisabled": "use --network none",
		"Hostname":        "use --hostname", "Domainname": "use --domainname", "MacAddress": "belongs to a network plugin",
		"AttachStdin": "an engine's matter", "AttachStdout": "an engine's matter", "AttachStderr": "an engine's matter",
		"Tty": "use --tty", "OpenStdin": "an engine's matter", "StdinOnce": "an engine's matter", "Image": "Docker's own", "StopTimeout": "an engine's matter",
	},
}

// ParseImage reads an image config strictly: a member of the wrong type, a
// key that differs from a known one in case only, or a NUL in a string that a
// process would get, is refused.
func ParseImage(data []byte) (*Image, error) {
	root, err := parseJSON(data)
	if err != nil {
		return nil, fmt.Errorf("parse image config: %w", err)
	}
	d := imageDecoder{}
	img := d.image(root)
	if d.err != nil {
		return nil, fmt.Errorf("image config: %w", d.err)
	}
	return img, nil
}

// imageDecoder keeps the first error, so that the decoding reads as a list.
type imageDecoder struct{ err error }

func (d *imageDecoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fault.Refused(format, args...)
	}
}

func (d *imageDecoder) image(root *node) *Image {
	if root.kind != kindObject {
		d.fail("the document is %s, not an object", root.kind)
		return nil
	}
	config := root.member("config")
	if config != nil && config.kind != kindObject && config.kind != kindNull {
		d.fail("config is %s, not an object", config.kind)
	}
	return &Image{
		OS: d.string(root, "os"), Architecture: d.string(root, "architecture"), Variant: d.string(root, "variant"),
		OSVersion: d.string(root, "os.version"), OSFeatures: d.list(root, "os.features"),
		Author: d.string(root, "author"), Created: d.string(root, "created"),
		User: d.string(config, "User"), WorkingDir: d.string(config, "WorkingDir"), StopSignal: d.string(config, "StopSignal"),
		Env: d.list(config, "Env"), Entrypoint: d.list(config, "Entrypoint"), Cmd: d.list(config, "Cmd"),
		Volumes: d.set(config, "Volumes"), ExposedPorts: d.set(config, "ExposedPorts"),
		Labels:  d.labels(config),
		Ignored: append(d.ignored(root, ""), d.ignored(config, "config")...),
	}
}

// ignored lists the members that are not used, and refuses those whose key is
// a known one but for its case: encoding/json of other tools would take them.
func (d *imageDecoder) ignored(n *node, object string) []Ignored {
	if n == nil {
		return nil
	}
	folded := make(map[string]string, len(known[object]))
	for key := range known[object] {
		folded[strings.ToLower(key)] = key
	}
	var list []Ignored
	for _, m := range n.members {
		why, isKnown := known[object][m.key]
		switch twin := folded[strings.ToLower(m.key)]; {
		case isKnown && why == "", m.value.empty():
			continue
		case isKnown:
		case twin != "":
			d.fail("member %q differs from %q in case only", m.key, twin)
		default:
			why = "not in the image-spec"
		}
		list = append(list, Ignored{pointer(append(strings.Fields(object), m.key)...), why})
	}
	return list
}

// empty reports whether a member says nothing: null, false, "", [], {} or 0.
func (n *node) empty() bool {
	switch n.kind {
	case kindNull:
		return true
	case kindArray, kindObject:
		return len(n.items)+len(n.members) == 0
	default:
		return slices.Contains([]string{`""`, "false", "0"}, n.literal)
	}
}

func (d *imageDecoder) string(n *node, key string) string {
	v := n.member(key)
	if v == nil || v.kind == kindNull {
		return ""
	}
	if v.kind != kindString {
		d.fail("%s is %s, not a string", key, v.kind)
		return ""
	}
	return d.clean(key, v.text())
}

// clean refuses NUL, which ends a string in the kernel.
func (d *imageDecoder) clean(key, s string) string {
	if err := checkText(key, s); err != nil && d.err == nil {
		d.err = err
	}
	return s
}

func (d *imageDecoder) list(n *node, key string) []string {
	v := n.member(key)
	if v == nil || v.kind == kindNull {
		return nil
	}
	if v.kind != kindArray {
		d.fail("%s is %s, not an array", key, v.kind)
		return nil
	}
	list := make([]string, 0, len(v.items))
	for i, item := range v.items {
		if item.kind != kindString {
			d.fail("%s[%d] is %s, not a string", key, i, item.kind)
			return nil
		}
		list = append(list, d.clean(key, item.text()))
	}
	return list
}

// set reads an object whose keys matter, a Go map[string]struct{}.
func (d *imageDecoder) set(n *node, key string) []string {
	v := n.member(key)
	if v == nil || v.kind == kindNull {
		return nil
	}
	if v.kind != kindObject {
		d.fail("%s is %s, not an object", key, v.kind)
		return nil
	}
	keys := make([]string, 0, len(v.members))
	for _, m := range v.members {
		keys = append(keys, d.clean(key, m.key))
	}
	return keys
}

func (d *imageDecoder) labels(config *node) []Label {
	v := config.member("Labels")
	if v == nil || v.kind == kindNull {
		return nil
	}
	if v.kind != kindObject {
		d.fail("Labels is %s, not an object", v.kind)
		return nil
	}
	labels := make([]Label, 0, len(v.members))
	for _, m := range v.members {
		if m.value.kind != kindString {
			d.fail("label %q is %s, not a string", m.key, m.value.kind)
			return nil
		}
		labels = append(labels, Label{d.clean("label", m.key), d.clean("label "+m.key, m.value.text())})
	}
	return labels
}

// checkText refuses what no C string can hold, and what JSON cannot.
func checkText(what, s string) error {
	if strings.IndexByte(s, 0) >= 0 {
		return fault.Refused("%s %q contains a NUL byte", what, s)
	}
	if !validUTF8(s) {
		return fault.As(fault.ErrRefused, fmt.Errorf("%s %q: %w", what, s, errNotUTF8))
	}
	return nil
}

var errNotUTF8 = errors.New("not UTF-8, and JSON can carry nothing else")
