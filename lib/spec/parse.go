package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// parser reads JSON (RFC 8259) strictly. encoding/json is not used for it: it
// has no ordered tree, folds the case of keys, takes the last of two equal
// keys, and replaces bytes that are not UTF-8.
type parser struct {
	data []byte
	at   int
}

// parseJSON reads one value and nothing behind it.
func parseJSON(data []byte) (*node, error) {
	if len(data) > MaxSize {
		return nil, fault.Refused("the document exceeds %d bytes", MaxSize)
	}
	if !utf8.Valid(data) {
		return nil, fault.Refused("the document is not UTF-8")
	}
	p := &parser{data: data}
	n, err := p.value(0)
	if err == nil {
		p.space()
		if p.at < len(p.data) {
			err = p.fail("data behind the value")
		}
	}
	if err != nil {
		return nil, err
	}
	return n, nil
}

func (p *parser) fail(format string, args ...any) error {
	line := 1 + bytes.Count(p.data[:min(p.at, len(p.data))], []byte{'\n'})
	return fault.Refused("line %d: %s", line, fmt.Sprintf(format, args...))
}

func (p *parser) space() {
	for p.at < len(p.data) {
		switch p.data[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// peek returns the next byte, 0 at the end.
func (p *parser) peek() byte {
	if p.at < len(p.data) {
		return p.data[p.at]
	}
	return 0
}

func (p *parser) value(depth int) (*node, error) {
	if depth > maxDepth {
		return nil, p.fail("nested deeper than %d", maxDepth)
	}
	p.space()
	switch c := p.peek(); {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		literal, err := p.stringLiteral()
		return &node{kind: kindString, literal: literal}, err
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	case p.at >= len(p.data):
		return nil, p.fail("the document ends too early")
	}
	for word, k := range map[string]kind{"true": kindBool, "false": kindBool, "null": kindNull} {
		if bytes.HasPrefix(p.data[p.at:], []byte(word)) {
			p.at += len(word)
			return &node{kind: k, literal: word}, nil
		}
	}
	return nil, p.fail("%q begins no JSON value", p.peek())
}

func (p *parser) object(depth int) (*node, error) {
	n := &node{kind: kindObject}
	p.at++
	for first := true; ; first = false {
		done, err := p.separator('}', first)
		if done || err != nil {
			return n, err
		}
		if p.peek() != '"' {
			return nil, p.fail("a key is missing")
		}
		literal, err := p.stringLiteral()
		if err != nil {
			return nil, err
		}
		key := unquoteJSON(literal)
		if n.find(key) >= 0 {
			return nil, p.fail("key %q occurs twice", key)
		}
		p.space()
		if p.peek() != ':' {
			return nil, p.fail("no colon behind key %q", key)
		}
		p.at++
		value, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		// Not put: the order of the document stays.
		n.members = append(n.members, member{key, value})
		if n.index != nil {
			n.index[key] = len(n.members) - 1
		} else if len(n.members) >= indexFrom {
			n.reindex()
		}
	}
}

func (p *parser) array(depth int) (*node, error) {
	n := &node{kind: kindArray}
	p.at++
	for first := true; ; first = false {
		done, err := p.separator(']', first)
		if done || err != nil {
			return n, err
		}
		item, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		n.items = append(n.items, item)
	}
}

// separator reads the end of a list, or the comma before its next element.
func (p *parser) separator(end byte, first bool) (done bool, err error) {
	p.space()
	switch {
	case p.peek() == end:
		p.at++
		return true, nil
	case first:
		return false, nil
	case p.peek() != ',':
		return false, p.fail("neither a comma nor %q", end)
	}
	p.at++
	p.space()
	if p.peek() == end {
		return false, p.fail("a comma before %q", end)
	}
	return false, nil
}

// stringLiteral reads a string with its quotes, as it stands.
func (p *parser) stringLiteral() (string, error) {
	start := p.at
	for p.at++; p.at < len(p.data); p.at++ {
		switch c := p.data[p.at]; {
		case c == '"':
			p.at++
			return string(p.data[start:p.at]), nil
		case c < ' ':
			return "", p.fail("control character in a string")
		case c != '\\':
			continue
		}
		p.at++
		switch c := p.peek(); c {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		case 'u':
			for range 4 {
				p.at++
				if !isHex(p.peek()) {
					return "", p.fail("malformed \\u escape")
				}
			}
		default:
			return "", p.fail("unknown escape \\%c", c)
		}
	}
	return "", p.fail("a string does not end")
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func (p *parser) number() (*node, error) {
	start := p.at
	if p.peek() == '-' {
		p.at++
	}
	zero := p.peek() == '0'
	if n := p.digits(); n == 0 || zero && n > 1 {
		return nil, p.fail("malformed number")
	}
	if p.peek() == '.' {
		p.at++
		if p.digits() == 0 {
			return nil, p.fail("malformed number")
		}
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		p.at++
		if c := p.peek(); c == '+' || c == '-' {
			p.at++
		}
		if p.digits() == 0 {
			return nil, p.fail("malformed number")
		}
	}
	return &node{kind: kindNumber, literal: string(p.data[start:p.at])}, nil
}

func (p *parser) digits() int {
	start := p.at
	for p.peek() >= '0' && p.peek() <= '9' {
		p.at++
	}
	return p.at - start
}

// unquoteJSON decodes a literal that the parser has checked.
func unquoteJSON(literal string) string {
	inner := literal[1 : len(literal)-1]
	if strings.IndexByte(inner, '\\') < 0 {
		return inner
	}
	var s string
	if err := json.Unmarshal([]byte(literal), &s); err != nil {
		return inner
	}
	return s
}
