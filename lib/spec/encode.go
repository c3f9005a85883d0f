package spec

import (
	"bytes"
	"fmt"
	"strings"
)

// encode writes the node as jq does: two spaces for each level, [] and {} for
// what is empty. Nothing is escaped for HTML.
func (n *node) encode(b *bytes.Buffer, depth int) {
	switch n.kind {
	case kindArray:
		if len(n.items) == 0 {
			b.WriteString("[]")
			return
		}
		b.WriteByte('[')
		for i, item := range n.items {
			newLine(b, i, depth+1)
			item.encode(b, depth+1)
		}
		newLine(b, 0, depth)
		b.WriteByte(']')
	case kindObject:
		if len(n.members) == 0 {
			b.WriteString("{}")
			return
		}
		b.WriteByte('{')
		for i, m := range n.members {
			newLine(b, i, depth+1)
			b.WriteString(quoteJSON(m.key))
			b.WriteString(": ")
			m.value.encode(b, depth+1)
		}
		newLine(b, 0, depth)
		b.WriteByte('}')
	default:
		b.WriteString(n.literal)
	}
}

func newLine(b *bytes.Buffer, i, depth int) {
	if i > 0 {
		b.WriteByte(',')
	}
	b.WriteByte('\n')
	for range depth {
		b.WriteString("  ")
	}
}

// compact is the node on one line.
func (n *node) compact() string {
	var b strings.Builder
	n.writeCompact(&b)
	return b.String()
}

func (n *node) writeCompact(b *strings.Builder) {
	switch n.kind {
	case kindArray:
		b.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				b.WriteByte(',')
			}
			item.writeCompact(b)
		}
		b.WriteByte(']')
	case kindObject:
		b.WriteByte('{')
		for i, m := range n.members {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(quoteJSON(m.key))
			b.WriteByte(':')
			m.value.writeCompact(b)
		}
		b.WriteByte('}')
	default:
		b.WriteString(n.literal)
	}
}

// quoteJSON quotes a string as jq does: only what must be escaped is, and DEL
// with it.
func quoteJSON(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 2)
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\t':
			b.WriteString(`\t`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\b':
			b.WriteString(`\b`)
		case c == '\f':
			b.WriteString(`\f`)
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
