package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// rewriteUmoci makes umoci.json name another image, so that umoci, too, goes on
// from what was committed.
func rewriteUmoci(b *bundle.Bundle, desc ispec.Descriptor) error {
	path := filepath.Join(b.Dir, bundle.UmociFile)
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
	return b.WriteFile(bundle.UmociFile, data, 0o644)
}
