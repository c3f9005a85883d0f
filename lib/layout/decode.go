package layout

import (
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/strictjson"
)

// shape has the members by which a manifest and an index are told apart. A
// document with those of both could be read as either (CVE-2021-41190).
type shape struct {
	SchemaVersion int    `json:"schemaVersion"`
	MediaType     string `json:"mediaType"`
	Manifests     any    `json:"manifests"`
	Layers        any    `json:"layers"`
	Config        any    `json:"config"`
}

// checkShape decodes what both kinds have, and refuses another schema version
// or a media type that is not the descriptor's. Without an expected type,
// index.json is meant, whose media type is optional.
func checkShape(data []byte, expected string) (shape, error) {
	var s shape
	if err := strictjson.Decode(data, &s); err != nil {
		return s, err
	}
	switch {
	case s.SchemaVersion != 2:
		return s, fault.Refused("schemaVersion is %d, not 2", s.SchemaVersion)
	case s.Manifests != nil && (s.Layers != nil || s.Config != nil):
		return s, fault.Refused("the document is both an index and a manifest: it has manifests beside layers or config")
	case s.MediaType != "" && expected != "" && s.MediaType != expected:
		return s, fault.Refused("the document says mediaType %.100q, its descriptor %q", s.MediaType, expected)
	case s.MediaType != "" && expected == "" && !IsIndex(s.MediaType):
		return s, fault.Refused("mediaType %.100q is not that of an index", s.MediaType)
	}
	return s, nil
}

// decodeIndex decodes index.json.
func decodeIndex(data []byte) (*ispec.Index, error) { return decodeIndexAs(data, "") }

func decodeIndexAs(data []byte, mediaType string) (*ispec.Index, error) {
	s, err := checkShape(data, mediaType)
	if err != nil {
		return nil, err
	}
	if s.Layers != nil || s.Config != nil {
		return nil, fault.Refused("the document is a manifest, its descriptor says an index")
	}
	var index ispec.Index
	if err := strictjson.Decode(data, &index); err != nil {
		return nil, err
	}
	return &index, nil
}

func decodeManifest(data []byte, mediaType string) (*ispec.Manifest, error) {
	s, err := checkShape(data, mediaType)
	if err != nil {
		return nil, err
	}
	if s.Manifests != nil {
		return nil, fault.Refused("the document is an index, its descriptor says a manifest")
	}
	var manifest ispec.Manifest
	if err := strictjson.Decode(data, &manifest); err != nil {
		return nil, err
	}
	return &manifest, nil
}
