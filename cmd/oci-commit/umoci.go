package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
)

// umociFile is umoci's record in its bundles.
const umociFile = "umoci.json"

// umociState is what umoci.json tells, members unknown to us kept apart.
type umociState struct {
	From struct {
		Walk []ispec.Descriptor `json:"descriptor_walk"`
	} `json:"from_descriptor_path"`
	Map struct {
		UIDs     idmap.Map `json:"uid_mappings"`
		GIDs     idmap.Map `json:"gid_mappings"`
		Rootless bool      `json:"rootless"`
	} `json:"map_options"`
}

// readUmoci reads umoci.json; nil when the bundle has none.
func readUmoci(b *bundle.Bundle) (*umociState, error) {
	path := filepath.Join(b.Dir, umociFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read umoci's record: %w", err)
	}
	var s umociState
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fault.Refused("%s: %w", path, err)
	}
	if len(s.From.Walk) == 0 {
		return nil, fault.Refused("%s names no image", path)
	}
	return &s, nil
}

// manifest is the image that umoci unpacked: the end of the way from the index.
func (s *umociState) manifest() ispec.Descriptor { return s.From.Walk[len(s.From.Walk)-1] }

// rewriteUmoci makes umoci.json name another image, so that umoci, too, goes on
// from what was committed.
func rewriteUmoci(b *bundle.Bundle, desc ispec.Descriptor) error {
	path := filepath.Join(b.Dir, umociFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read umoci's record: %w", err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return fault.Refused("%s: %w", path, err)
	}
	from, err := json.Marshal(map[string]any{"descriptor_walk": []ispec.Descriptor{desc}})
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	members["from_descriptor_path"] = from
	if data, err = json.Marshal(members); err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return b.WriteFile(umociFile, data, 0o644)
}
