package transport

import (
	"slices"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
	"github.com/oci-plumbing/oci-plumbing/lib/strictjson"
)

// The values of Options.Format.
const (
	formatOCI    = "oci"
	formatDocker = "v2s2"
	formatSigned = "v2s1"
)

// decodeManifest reads an image manifest, OCI or Docker schema 2.
func decodeManifest(raw []byte) (*ispec.Manifest, error) {
	var m struct {
		ispec.Manifest
		Manifests any `json:"manifests"`
	}
	if err := strictjson.Decode(raw, &m); err != nil {
		return nil, err
	}
	if m.Manifests != nil {
		// A document of both kinds could be read as either (CVE-2021-41190).
		return nil, fault.Refused("the manifest has the member manifests, as an index does")
	}
	if len(m.Layers) > layout.MaxLayers {
		return nil, fault.Refused("the manifest has %d layers, more than %d", len(m.Layers), layout.MaxLayers)
	}
	return &m.Manifest, nil
}

// decodeIndex reads an OCI index or a Docker manifest list.
func decodeIndex(raw []byte) (*ispec.Index, error) {
	var index struct {
		ispec.Index
		Layers any `json:"layers"`
		Config any `json:"config"`
	}
	if err := strictjson.Decode(raw, &index); err != nil {
		return nil, err
	}
	if index.Layers != nil || index.Config != nil {
		return nil, fault.Refused("the index has the members of a manifest, too")
	}
	return &index.Index, nil
}

// isImageConfig tells an image from another kind of artifact.
func isImageConfig(mediaType string) bool {
	return mediaType == ispec.MediaTypeImageConfig || mediaType == layout.DockerConfig
}

// isUncompressed reports whether a layer of the media type is a plain tar.
func isUncompressed(mediaType string) bool {
	return strings.HasSuffix(mediaType, ".tar")
}

// hasSuffix reports whether s ends with one of the suffixes.
func hasSuffix(s string, suffixes ...string) bool {
	return slices.ContainsFunc(suffixes, func(suffix string) bool { return strings.HasSuffix(s, suffix) })
}

// isForeign reports whether a layer may be left at its URLs.
func isForeign(desc ispec.Descriptor) bool {
	return strings.Contains(desc.MediaType, "nondistributable") || strings.Contains(desc.MediaType, "foreign")
}

// isEncrypted reports whether a layer is encrypted.
func isEncrypted(desc ispec.Descriptor) bool { return strings.HasSuffix(desc.MediaType, "+encrypted") }

// platformOf is that of a descriptor in an index.
func platformOf(desc ispec.Descriptor) layout.Platform {
	if desc.Platform == nil {
		return layout.Platform{}
	}
	return layout.Platform{OS: desc.Platform.OS, Architecture: desc.Platform.Architecture, Variant: desc.Platform.Variant}
}
