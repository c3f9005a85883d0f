package spec

import (
	"strconv"
	"strings"
)

// Field is one value of a document and where it came from.
type Field struct {
	// Pointer is the JSON pointer of the value.
	Pointer string `json:"pointer"`
	// Value is the value as JSON on one line.
	Value string `json:"-"`
	Origin
}

// Fields lists the scalars of the document in its order, and what is empty.
func (d *Document) Fields() []Field {
	var fields []Field
	d.root.walk(func(path []string, n *node, from *Origin) {
		f := Field{Pointer: pointer(path...), Value: n.compact()}
		if from != nil {
			f.Origin = *from
		}
		fields = append(fields, f)
	})
	return fields
}

// Groups lists the same as Fields, but one row for each list whose elements
// are scalars of one origin, and for each rule of linux.seccomp.
func (d *Document) Groups() []Field {
	var fields []Field
	d.root.group(nil, nil, &fields)
	return fields
}

func (n *node) group(path []string, from *Origin, fields *[]Field) {
	if n.from != nil {
		from = n.from
	}
	if n.flat(from) {
		f := Field{Pointer: pointer(path...), Value: n.compact()}
		if from != nil {
			f.Origin = *from
		}
		*fields = append(*fields, f)
		return
	}
	if len(path) == 2 && path[0] == "linux" && path[1] == "seccomp" && from != nil && n.uniform() {
		*fields = append(*fields, Field{Pointer: pointer(path...), Value: n.compact(), Origin: *from})
		return
	}
	for i, item := range n.items {
		item.group(append(path[:len(path):len(path)], itoa(i)), from, fields)
	}
	for _, m := range n.members {
		m.value.group(append(path[:len(path):len(path)], m.key), from, fields)
	}
}

// flat reports whether the node fits one row: a scalar, a list of scalars, or
// an element of a list, such as a mount, with nothing of another origin in it.
func (n *node) flat(from *Origin) bool {
	for _, item := range n.items {
		if item.kind >= kindArray || item.from != nil && item.from != from {
			return false
		}
	}
	if n.kind != kindObject {
		return true
	}
	if n.from == nil && len(n.members) > 0 {
		return false
	}
	for _, m := range n.members {
		if m.value.kind == kindObject || m.value.from != nil && m.value.from != from || m.value.kind == kindArray && !m.value.flat(from) {
			return false
		}
	}
	return true
}

// uniform reports whether nothing below the node has an origin of its own.
func (n *node) uniform() bool {
	for _, item := range n.items {
		if item.from != nil || !item.uniform() {
			return false
		}
	}
	for _, m := range n.members {
		if m.value.from != nil || !m.value.uniform() {
			return false
		}
	}
	return true
}

// jqDepth is a nesting that every jq reads and writes; jq 1.6 ends at 256.
const jqDepth = 200

// KeptByJQ reports whether jq writes each value as it stands: it rounds
// numbers beyond 2^53 before 1.7, has a form of its own for all that are not
// plain integers, and for strings, and refuses what is nested too deep.
func (d *Document) KeptByJQ() bool {
	kept := true
	d.root.walk(func(path []string, n *node, _ *Origin) {
		switch n.kind {
		case kindNumber:
			i, ok := n.int()
			kept = kept && ok && n.literal == strconv.FormatInt(i, 10) && i <= 1<<53 && i >= -1<<53
		case kindString:
			kept = kept && n.literal == quoteJSON(n.text())
		}
		kept = kept && len(path) < jqDepth
	})
	return kept
}

// Section is a part of the document that one assignment of jq can make.
type Section struct {
	// Path is a path of jq, .process.args.
	Path string
	// Value is JSON on one line.
	Value string
	Origin
}

// Sections cuts the document into its members, those of process and linux
// apart, in its order: to assign them one after the other makes it again.
func (d *Document) Sections() []Section {
	var sections []Section
	add := func(path []string, n *node) {
		s := Section{Path: jqPath(path), Value: n.compact()}
		n.walkFrom(nil, d.root.from, func(_ []string, _ *node, from *Origin) {
			if s.Source == "" && from != nil {
				s.Origin = *from
			}
		})
		sections = append(sections, s)
	}
	for _, m := range d.root.members {
		if (m.key != "process" && m.key != "linux") || m.value.kind != kindObject || len(m.value.members) == 0 {
			add([]string{m.key}, m.value)
			continue
		}
		for _, sub := range m.value.members {
			add([]string{m.key, sub.key}, sub.value)
		}
	}
	return sections
}

func jqPath(path []string) string {
	var s strings.Builder
	s.WriteByte('.')
	for _, key := range path {
		s.WriteString("[" + quoteJSON(key) + "]")
	}
	return s.String()
}
