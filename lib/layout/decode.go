package layout

import (
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/strictjson"
)

// indexDocument and manifestDocument have, beside their own members, those by
// which the other kind is told apart. A document with the members of both
// could be read as either (CVE-2021-41190). They are decoded in one go: an
// index.json of megabytes is read for each tag.
type (
	indexDocument struct {
		ispec.Index
		Layers any `json:"layers"`
		Config any `json:"config"`
	}
	manifestDocument struct {
		ispec.Manifest
		Manifests any `json:"manifests"`
	}
)

// checkKind refuses another schema version, and a media type that is not the
// descriptor's. Without an expected type, index.json is meant, whose media type
// is optional.
func checkKind(schemaVersion int, mediaType, expected string) error {
	switch {
	case schemaVersion != 2:
		return fault.Refused("schemaVersion is %d, not 2", schemaVersion)
	case mediaType != "" && expected != "" && mediaType != expected:
		return fault.Refused("the document says mediaType %.100q, its descriptor %q", mediaType, expected)
	case mediaType != "" && expected == "" && !IsIndex(mediaType):
		return fault.Refused("mediaType %.100q is not that of an index", mediaType)
	default:
		return nil
	}
}

// decodeIndex decodes index.json.
func decodeIndex(data []byte) (*ispec.Index, error) { return decodeIndexAs(data, "") }

func decodeIndexAs(data []byte, mediaType string) (*ispec.Index, error) {
	var doc indexDocument
	if err := strictjson.Decode(data, &doc); err != nil {
		return nil, err
	}
	if err := checkKind(doc.SchemaVersion, doc.MediaType, mediaType); err != nil {
		return nil, err
	}
	if doc.Layers != nil || doc.Config != nil {
		return nil, fault.Refused("the document is, or is also, a manifest: it has layers or config")
	}
	return &doc.Index, nil
}

func decodeManifest(data []byte, mediaType string) (*ispec.Manifest, error) {
	var doc manifestDocument
	if err := strictjson.Decode(data, &doc); err != nil {
		return nil, err
	}
	if err := checkKind(doc.SchemaVersion, doc.MediaType, mediaType); err != nil {
		return nil, err
	}
	if doc.Manifests != nil {
		return nil, fault.Refused("the document is, or is also, an index: it has manifests")
	}
	return &doc.Manifest, nil
}
