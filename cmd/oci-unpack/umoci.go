package main

import (
	"encoding/json"
	"fmt"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
)

// umociState is version 2 of umoci's record. With it and the manifest, which has
// the name that umoci expects, umoci repack works on our bundles.
type umociState struct {
	Version string `json:"umoci_version"`
	bundle.Umoci
	Whiteouts int `json:"whiteout_mode"` // 0: those of layers
}

func (p *plan) writeUmoci(b *bundle.Bundle) error {
	s := umociState{Version: "2"}
	s.From.Walk = []ispec.Descriptor{p.image.Descriptor}
	s.Map.UIDs, s.Map.GIDs, s.Map.Rootless = p.options.UIDMap, p.options.GIDMap, p.options.Rootless
	data, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode %s: %w", bundle.UmociFile, err)
	}
	return b.WriteFile(bundle.UmociFile, data, 0o644)
}
