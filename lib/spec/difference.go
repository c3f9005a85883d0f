package spec

import (
	"slices"
	"strings"
)

// Difference is one thing in which two documents differ.
type Difference struct {
	// Pointer is where; an element of a list that has names is found by its
	// name: /mounts[/proc]/options.
	Pointer string `json:"pointer"`
	// Old and New are JSON on one line; "" where there is nothing.
	Old string `json:"old,omitempty"`
	New string `json:"new,omitempty"`
}

// Diff compares two documents by their meaning: the order of keys, of
// capabilities, of variables, of masked paths and of the names of system
// calls does not matter; mounts are matched by destination, namespaces and
// limits by type, devices by path.
func Diff(a, b *Document) []Difference {
	var list []Difference
	diffNodes("", meaning(nil, a.root), meaning(nil, b.root), &list)
	return list
}

func diffNodes(at string, a, b *node, list *[]Difference) {
	switch {
	case a == nil && b == nil, a != nil && b != nil && a.equal(b):
		return
	case a == nil || b == nil || a.kind != kindObject || b.kind != kindObject:
		*list = append(*list, Difference{Pointer: at, Old: compactOrNone(a), New: compactOrNone(b)})
		return
	}
	for _, m := range a.members {
		diffNodes(joinPointer(at, m.key), m.value, b.member(m.key), list)
	}
	for _, m := range b.members {
		if a.member(m.key) == nil {
			diffNodes(joinPointer(at, m.key), nil, m.value, list)
		}
	}
}

func compactOrNone(n *node) string {
	if n == nil {
		return ""
	}
	return strings.ReplaceAll(n.compact(), quoteJSON(elementMark)[:7], `"`)
}

// elementMark begins the key of an element of a list that has names.
const elementMark = "\x00"

func joinPointer(at, key string) string {
	if name, ok := strings.CutPrefix(key, elementMark); ok {
		return at + "[" + name + "]"
	}
	return at + pointer(key)
}

// meaning turns lists whose order does not matter into objects and sorted
// lists, so that the comparison need not know them.
func meaning(path []string, n *node) *node {
	if n == nil || n.kind < kindArray {
		return n
	}
	out := &node{kind: n.kind}
	if n.kind == kindObject {
		for _, m := range n.members {
			out.members = append(out.members, member{m.key, meaning(append(path[:len(path):len(path)], m.key), m.value)})
		}
		if len(out.members) >= indexFrom {
			out.reindex()
		}
		return out
	}
	switch where := strings.Join(path, "/"); {
	case where == "mounts":
		return byName(path, n, "destination")
	case where == "linux/namespaces", where == "process/rlimits":
		return byName(path, n, "type")
	case where == "linux/devices":
		return byName(path, n, "path")
	case where == "process/env":
		return environmentByName(n)
	case where == "linux/seccomp/syscalls":
		return callsByName(n)
	case strings.HasPrefix(where, "process/capabilities/"), where == "linux/maskedPaths", where == "linux/readonlyPaths",
		where == "process/user/additionalGids", where == "linux/seccomp/architectures":
		out.items = slices.SortedFunc(slices.Values(n.items), func(a, b *node) int { return strings.Compare(a.literal, b.literal) })
		return out
	default:
		for _, item := range n.items {
			out.items = append(out.items, meaning(path, item))
		}
		return out
	}
}

// byName makes an object of a list, with the names of the elements as keys.
// The last of equal names counts, as it does for a mount.
func byName(path []string, n *node, key string) *node {
	out := &node{kind: kindObject}
	for _, item := range n.items {
		name := item.member(key).text()
		element := meaning(append(path[:len(path):len(path)], name), item)
		if key == "destination" && element.member(key) != nil {
			name = cleanDestination(item)
			element.put(key, newString(name))
		}
		out.put(elementMark+name, element)
	}
	return out
}

func environmentByName(n *node) *node {
	out := &node{kind: kindObject}
	for _, item := range n.items {
		name, value, _ := strings.Cut(item.text(), "=")
		out.put(elementMark+name, newString(value))
	}
	return out
}

// callsByName lists what happens to each system call: the action, the errno
// and the conditions of each rule that names it. Rules in a row that do the same
// are alternatives, and stand in any order.
func callsByName(n *node) *node {
	out := &node{kind: kindObject}
	for _, rule := range n.items {
		for _, name := range rule.member("names").texts() {
			what := newObject()
			for _, m := range rule.members {
				if m.key != "names" && m.key != "name" && m.key != "comment" {
					what.put(m.key, m.value)
				}
			}
			rules := out.member(elementMark + name)
			if rules == nil {
				rules = newArray()
				out.put(elementMark+name, rules)
			}
			rules.items = append(rules.items, what)
		}
	}
	for _, call := range out.members {
		sortAlternatives(call.value.items)
	}
	return out
}

func sortAlternatives(rules []*node) {
	for len(rules) > 0 {
		end := slices.IndexFunc(rules, func(n *node) bool {
			return !n.member("action").equal(rules[0].member("action")) || !n.member("errnoRet").equal(rules[0].member("errnoRet"))
		})
		if end < 0 {
			end = len(rules)
		}
		slices.SortStableFunc(rules[:end], func(a, b *node) int { return strings.Compare(a.sortedKeys().compact(), b.sortedKeys().compact()) })
		rules = rules[end:]
	}
}

// sortedKeys is the same value with the keys in their alphabetical order.
func (n *node) sortedKeys() *node {
	out := &node{kind: n.kind, literal: n.literal}
	for _, item := range n.items {
		out.items = append(out.items, item.sortedKeys())
	}
	for _, m := range n.members {
		out.members = append(out.members, member{m.key, m.value.sortedKeys()})
	}
	slices.SortFunc(out.members, func(a, b member) int { return strings.Compare(a.key, b.key) })
	return out
}
