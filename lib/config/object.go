package config

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/strictjson"
)

// object is a JSON object whose values are left as they are.
type object map[string]json.RawMessage

// parse reads an object. An absent or null one is empty.
func parse(raw json.RawMessage, what string) (object, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return object{}, nil
	}
	var o object
	if err := strictjson.Decode(raw, &o); err != nil {
		return nil, fault.As(fault.ErrRefused, fmt.Errorf("%s: %w", what, err))
	}
	return o, nil
}

// get decodes a member into value, which keeps its zero when it is absent.
func (o object) get(name string, value any) error {
	raw, ok := o[name]
	if !ok {
		return nil
	}
	if err := json.Unmarshal(raw, value); err != nil {
		return fault.Refused("member %q: %w", name, err)
	}
	return nil
}

// set encodes value as a member.
func (o object) set(name string, value any) error {
	raw, err := encode(value)
	if err != nil {
		return fmt.Errorf("member %q: %w", name, err)
	}
	o[name] = raw
	return nil
}

// encode writes JSON with sorted keys, no white space and no HTML escapes.
func encode(value any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}
