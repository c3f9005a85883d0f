package spec

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// edits applies --set, --merge and --patch, and raises ociVersion for what
// they brought, unless they set it themselves.
func (b *builder) edits() error {
	chosen := false
	for _, s := range b.opt.Set {
		if err := b.setPointer(s); err != nil {
			return err
		}
		chosen = chosen || strings.HasPrefix(s, "/ociVersion=")
	}
	for _, m := range b.opt.Merges {
		change, err := parseJSON(m)
		if err != nil {
			return fmt.Errorf("--merge: %w", err)
		}
		chosen = chosen || change.member("ociVersion") != nil
		change.mark(byFlag("--merge", ""))
		b.doc.root = mergePatch(b.doc.root, change)
	}
	for _, p := range b.opt.Patches {
		patch, err := parseJSON(p)
		if err == nil {
			err = b.applyPatch(patch)
		}
		if err != nil {
			return fmt.Errorf("--patch: %w", err)
		}
		chosen = chosen || slices.ContainsFunc(patch.items, setsVersion)
	}
	if b.doc.root.kind != kindObject {
		return fault.Usage("what is left is %s, not an object", b.doc.root.kind)
	}
	if len(b.opt.Set)+len(b.opt.Merges)+len(b.opt.Patches) > 0 && !chosen {
		b.version()
	}
	return nil
}

// mark gives all nodes without an origin this one.
func (n *node) mark(from *Origin) {
	n.from = from
	for _, item := range n.items {
		item.mark(from)
	}
	for _, m := range n.members {
		m.value.mark(from)
	}
}

// setPointer applies POINTER=VALUE, and makes the objects on the way.
func (b *builder) setPointer(s string) error {
	at, text, ok := strings.Cut(s, "=")
	tokens, err := parsePointer(at)
	if err != nil || !ok || len(tokens) == 0 {
		return fault.Usage("--set %q is not /POINTER=VALUE", s)
	}
	value, err := parseJSON([]byte(text))
	if err != nil {
		value = newString(text)
	}
	value.mark(byFlag("--set", ""))
	parent := b.doc.root
	for _, t := range tokens[:len(tokens)-1] {
		child, ok := parent.child(t)
		if !ok {
			if parent.kind != kindObject {
				return fault.Usage("--set %s: there is no element %q", at, t)
			}
			child = newObject()
			parent.put(t, child)
		}
		parent = child
	}
	last := tokens[len(tokens)-1]
	switch parent.kind {
	case kindObject:
		if old := parent.member(last); old == nil || !old.equal(value) {
			parent.put(last, value)
		}
		return nil
	case kindArray:
		i, ok := arrayIndex(last, len(parent.items))
		switch {
		case !ok || i > len(parent.items):
			return fault.Usage("--set %s: there is no element %q", at, last)
		case i == len(parent.items):
			// Once is enough: to apply a flag twice changes nothing.
			if last != "-" || !slices.ContainsFunc(parent.items, value.equal) {
				parent.items = append(parent.items, value)
			}
		case !parent.items[i].equal(value):
			parent.items[i] = value
		}
		return nil
	default:
		return fault.Usage("--set %s: what is above it is %s", at, parent.kind)
	}
}

// child returns the member or the element that the token names.
func (n *node) child(token string) (*node, bool) {
	switch n.kind {
	case kindObject:
		m := n.member(token)
		return m, m != nil
	case kindArray:
		if i, ok := arrayIndex(token, len(n.items)); ok && i < len(n.items) {
			return n.items[i], true
		}
	}
	return nil, false
}

// mergePatch applies a merge patch (RFC 7386).
func mergePatch(target, change *node) *node {
	if change.kind != kindObject {
		return change
	}
	if target == nil || target.kind != kindObject {
		target = newObject()
		target.from = change.from
	}
	for _, m := range change.members {
		if m.value.kind == kindNull {
			target.drop(m.key)
			continue
		}
		merged := mergePatch(target.member(m.key), m.value)
		if old := target.member(m.key); old == nil || old != merged {
			target.put(m.key, merged)
		}
	}
	return target
}

// applyPatch applies a JSON patch (RFC 6902), whole or not at all.
func (b *builder) applyPatch(patch *node) error {
	if patch.kind != kindArray {
		return fault.Usage("the patch is %s, not an array (RFC 6902)", patch.kind)
	}
	work := b.doc.root.clone()
	for i, op := range patch.items {
		var err error
		if work, err = applyOperation(work, op); err != nil {
			return fmt.Errorf("operation %d: %w", i, err)
		}
	}
	b.doc.root = work
	return nil
}

// setsVersion reports whether an operation leaves an ociVersion of its own.
func setsVersion(op *node) bool {
	at := op.member("path").text()
	return op.member("op").text() != "test" && (at == "/ociVersion" || at == "")
}

// applyOperation applies one operation to the document, and returns the new
// top of it.
func applyOperation(root, op *node) (*node, error) {
	name := op.member("op").text()
	path, err := operand(op, "path")
	if err != nil {
		return nil, err
	}
	var value *node
	switch name {
	case "add", "replace", "test":
		if value = op.member("value").clone(); value == nil {
			return nil, fault.Usage("%s has no value", name)
		}
		value.mark(byFlag("--patch", ""))
	case "move", "copy":
		from, err := operand(op, "from")
		if err != nil {
			return nil, err
		}
		source := root.at(from)
		if source == nil {
			return nil, missing(from)
		}
		value = source.clone()
		if name == "move" {
			if len(path) > len(from) && slices.Equal(path[:len(from)], from) {
				return nil, fault.Usage("cannot move %s into itself", pointer(from...))
			}
			if root, err = removeAt(root, from); err != nil {
				return nil, err
			}
		}
	case "remove":
		return removeAt(root, path)
	default:
		return nil, fault.Usage("unknown operation %q", name)
	}
	switch name {
	case "test":
		if have := root.at(path); have == nil || !sameJSON(have, value) {
			return nil, fault.Usage("the test of %s fails", pointer(path...))
		}
		return root, nil
	case "replace":
		if root.at(path) == nil {
			return nil, missing(path)
		}
		if len(path) > 0 {
			if parent := root.at(path[:len(path)-1]); parent.kind == kindArray {
				i, _ := arrayIndex(path[len(path)-1], len(parent.items))
				parent.items[i] = value
				return root, nil
			}
		}
	}
	return addAt(root, path, value)
}

func operand(op *node, key string) ([]string, error) {
	n := op.member(key)
	if n == nil || n.kind != kindString {
		return nil, fault.Usage("%q is missing", key)
	}
	return parsePointer(n.text())
}

func missing(path []string) error { return fault.Usage("there is nothing at %s", pointer(path...)) }

// at returns the node at the path, or nil.
func (n *node) at(path []string) *node {
	for _, t := range path {
		child, ok := n.child(t)
		if !ok {
			return nil
		}
		n = child
	}
	return n
}

func addAt(root *node, path []string, value *node) (*node, error) {
	if len(path) == 0 {
		return value, nil
	}
	parent, last := root.at(path[:len(path)-1]), path[len(path)-1]
	switch {
	case parent == nil:
		return nil, missing(path[:len(path)-1])
	case parent.kind == kindObject:
		parent.put(last, value)
	case parent.kind == kindArray:
		i, ok := arrayIndex(last, len(parent.items))
		if !ok || i > len(parent.items) {
			return nil, missing(path)
		}
		parent.items = slices.Insert(parent.items, i, value)
	default:
		return nil, missing(path)
	}
	return root, nil
}

func removeAt(root *node, path []string) (*node, error) {
	if root.at(path) == nil {
		return nil, missing(path)
	}
	if len(path) == 0 {
		return &node{kind: kindNull, literal: "null"}, nil
	}
	parent, last := root.at(path[:len(path)-1]), path[len(path)-1]
	if parent.kind == kindObject {
		parent.drop(last)
		return root, nil
	}
	i, _ := arrayIndex(last, len(parent.items))
	parent.items = slices.Delete(parent.items, i, i+1)
	return root, nil
}

// sameJSON compares as RFC 6902 does: numbers by their value.
func sameJSON(a, b *node) bool {
	if a.kind == kindNumber && b.kind == kindNumber && a.literal != b.literal && !(a.is("integer") && b.is("integer")) {
		x, err1 := strconv.ParseFloat(a.literal, 64)
		y, err2 := strconv.ParseFloat(b.literal, 64)
		return err1 == nil && err2 == nil && x == y
	}
	if a.kind != b.kind || len(a.items) != len(b.items) || len(a.members) != len(b.members) {
		return false
	}
	for i, item := range a.items {
		if !sameJSON(item, b.items[i]) {
			return false
		}
	}
	for _, m := range a.members {
		other := b.member(m.key)
		if other == nil || !sameJSON(m.value, other) {
			return false
		}
	}
	return len(a.items)+len(a.members) > 0 || a.equal(b)
}
