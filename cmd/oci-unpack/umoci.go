package main

import (
	"encoding/json"
	"fmt"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
)

// umociFile is the record of umoci's bundles. With it and the manifest, which
// has the name that umoci expects, umoci repack works on our bundles.
const umociFile = "umoci.json"

// umociState is version 2 of that record.
type umociState struct {
	Version string `json:"umoci_version"`
	From    struct {
		Walk []ispec.Descriptor `json:"descriptor_walk"`
	} `json:"from_descriptor_path"`
	Map struct {
		UIDs     idmap.Map `json:"uid_mappings"`
		GIDs     idmap.Map `json:"gid_mappings"`
		Rootless bool      `json:"rootless"`
	} `json:"map_options"`
	Whiteouts int `json:"whiteout_mode"` // 0: those of layers
}

func (p *plan) writeUmoci(b *bundle.Bundle) error {
	s := umociState{Version: "2"}
	s.From.Walk = []ispec.Descriptor{p.image.Descriptor}
	s.Map.UIDs, s.Map.GIDs, s.Map.Rootless = p.options.UIDMap, p.options.GIDMap, p.options.Rootless
	data, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode %s: %w", umociFile, err)
	}
	return b.WriteFile(umociFile, data, 0o644)
}
