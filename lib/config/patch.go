package config

import (
	"encoding/json"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// mergePatch applies a JSON merge patch (RFC 7396): objects merge, null
// removes, all else replaces.
func mergePatch(target, patch json.RawMessage) (json.RawMessage, error) {
	if kind(patch) != '{' {
		return nil, fault.Usage("a config patch is a JSON object (RFC 7396), not %.60s", patch)
	}
	return merge(target, patch)
}

func merge(target, patch json.RawMessage) (json.RawMessage, error) {
	if kind(patch) != '{' {
		return patch, nil
	}
	changes, err := parse(patch, "config patch")
	if err != nil {
		return nil, err
	}
	into := object{}
	if kind(target) == '{' {
		if into, err = parse(target, "image config"); err != nil {
			return nil, err
		}
	}
	for name, change := range changes {
		if string(change) == "null" {
			delete(into, name)
			continue
		}
		merged, err := merge(into[name], change)
		if err != nil {
			return nil, err
		}
		into[name] = merged
	}
	return encode(into)
}

// kind is the first byte of a JSON value.
func kind(raw json.RawMessage) byte {
	for _, b := range raw {
		switch b {
		case ' ', '\t', '\r', '\n':
		default:
			return b
		}
	}
	return 0
}
