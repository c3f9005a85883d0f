// Package strictjson decodes JSON that a stranger wrote.
//
// encoding/json takes the last of duplicate keys, folds case, and with a
// Decoder ignores what follows the value. Two parsers then see two documents
// in the same bytes, which is how a checked manifest becomes another one
// (CVE-2021-41190 is of that class). Here all of that is refused, before the
// value is decoded.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// MaxDepth is the deepest nesting that is accepted.
const MaxDepth = 32

// Decode decodes data into v, a pointer, and refuses (fault.ErrRefused)
// invalid UTF-8, duplicate keys, keys that differ from a field of v in case
// only, nesting beyond MaxDepth, and anything but white space behind the
// value. Members that v does not have are ignored.
func Decode(data []byte, v any) error {
	if !utf8.Valid(data) {
		return fault.Refused("not valid UTF-8")
	}
	c := checker{dec: json.NewDecoder(bytes.NewReader(data))}
	c.dec.UseNumber()
	if err := c.value(reflect.TypeOf(v), 0); err != nil {
		return fault.As(fault.ErrRefused, err)
	}
	if _, err := c.dec.Token(); !errors.Is(err, io.EOF) {
		return fault.Refused("data after the JSON value, at byte %d", c.dec.InputOffset())
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fault.As(fault.ErrRefused, err)
	}
	return nil
}

// checker walks the tokens beside the type that they will be decoded into.
type checker struct{ dec *json.Decoder }

// value checks one value; t is nil where the type does not know the member.
func (c *checker) value(t reflect.Type, depth int) error {
	tok, err := c.dec.Token()
	if errors.Is(err, io.EOF) {
		return errors.New("unexpected end of the JSON text")
	}
	if err != nil {
		return err
	}
	delim, ok := tok.(json.Delim)
	switch {
	case !ok:
		return nil
	case depth >= MaxDepth:
		return fmt.Errorf("nested deeper than %d levels, at byte %d", MaxDepth, c.dec.InputOffset())
	case delim == '{':
		return c.object(t, depth)
	default:
		return c.array(t, depth)
	}
}

func (c *checker) array(t reflect.Type, depth int) error {
	element := elementOf(t)
	for c.dec.More() {
		if err := c.value(element, depth+1); err != nil {
			return err
		}
	}
	return c.closing()
}

func (c *checker) object(t reflect.Type, depth int) error {
	fields := fieldsOf(t)
	element := elementOf(t)
	seen := make(map[string]bool)
	for c.dec.More() {
		tok, err := c.dec.Token()
		if err != nil {
			return err
		}
		key, ok := tok.(string)
		if !ok {
			return fmt.Errorf("key is not a string, at byte %d", c.dec.InputOffset())
		}
		if seen[key] {
			return fmt.Errorf("duplicate key %q", clip(key))
		}
		seen[key] = true
		member := element
		if fields != nil {
			f, known := fields[strings.ToLower(key)]
			if known && f.name != key {
				return fmt.Errorf("key %q differs from %q in case only", clip(key), f.name)
			}
			member = f.typ
		}
		if err := c.value(member, depth+1); err != nil {
			return err
		}
	}
	return c.closing()
}

// closing takes the delimiter that ends an array or object.
func (c *checker) closing() error {
	_, err := c.dec.Token()
	if errors.Is(err, io.EOF) {
		return errors.New("unexpected end of the JSON text")
	}
	return err
}

type field struct {
	name string
	typ  reflect.Type
}

// fieldsOf maps the lower-case JSON names of a struct to its fields; nil for
// what is no struct, or decodes itself.
func fieldsOf(t reflect.Type) map[string]field {
	t = pointed(t)
	if t == nil || t.Kind() != reflect.Struct || decodesItself(t) {
		return nil
	}
	fields := make(map[string]field)
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || !f.IsExported() || f.Anonymous && name == "" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		fields[strings.ToLower(name)] = field{name: name, typ: f.Type}
	}
	return fields
}

// elementOf is the type of the elements of a list, or of the values of a map.
func elementOf(t reflect.Type) reflect.Type {
	t = pointed(t)
	if t == nil || decodesItself(t) {
		return nil
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Array, reflect.Map:
		return t.Elem()
	default:
		return nil
	}
}

func pointed(t reflect.Type) reflect.Type {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

func decodesItself(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]())
}

// clip shortens what is quoted in a message.
func clip(s string) string {
	const most = 60
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
