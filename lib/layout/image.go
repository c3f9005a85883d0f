package layout

import (
	"context"
	"fmt"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/strictjson"
)

// Image is one image for one platform: its manifest and config, verified.
type Image struct {
	// Reference is what was asked for.
	Reference Reference
	// Descriptor is that of the manifest.
	Descriptor ispec.Descriptor
	// Platform is what the config says the image is for.
	Platform Platform
	// ManifestRaw and ConfigRaw are the bytes as stored.
	ManifestRaw, ConfigRaw []byte
	Manifest               ispec.Manifest
	Config                 ispec.Image
}

// Image reads the image whose manifest the descriptor names. It refuses what
// is no image (another kind of artifact), and an image whose config does not
// list one diffID per layer.
func (l *Layout) Image(ctx context.Context, desc ispec.Descriptor) (*Image, error) {
	if !IsManifest(desc.MediaType) {
		return nil, fault.Refused("%s has media type %.100q, which is not that of an image manifest", desc.Digest, desc.MediaType)
	}
	raw, err := l.ReadBlob(ctx, desc, MaxDocument)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	manifest, err := decodeManifest(raw, desc.MediaType)
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", desc.Digest, err)
	}
	img := &Image{Descriptor: desc, ManifestRaw: raw, Manifest: *manifest}
	if !isConfig(manifest.Config.MediaType) {
		return nil, fault.Refused("manifest %s is of an artifact, not of an image: its config has media type %.100q", desc.Digest, manifest.Config.MediaType)
	}
	if img.ConfigRaw, err = l.ReadBlob(ctx, manifest.Config, MaxDocument); err != nil {
		return nil, fmt.Errorf("config of manifest %s: %w", desc.Digest, err)
	}
	config, err := DecodeConfig(img.ConfigRaw, manifest.Layers)
	if err != nil {
		return nil, fmt.Errorf("config %s: %w", manifest.Config.Digest, err)
	}
	img.Config, img.Platform = *config, platformOf(&config.Platform)
	return img, nil
}

// DecodeConfig decodes the config of an image with these layers. It refuses one
// that does not suit them, before either is indexed by the other.
func DecodeConfig(raw []byte, layers []ispec.Descriptor) (*ispec.Image, error) {
	var config ispec.Image
	if err := strictjson.Decode(raw, &config); err != nil {
		return nil, err
	}
	diffIDs := config.RootFS.DiffIDs
	switch {
	case len(layers) > MaxLayers:
		return nil, fault.Refused("the manifest has %d layers, more than %d", len(layers), MaxLayers)
	case len(layers) != len(diffIDs):
		return nil, fault.Refused("the manifest has %d layers, the config %d diff_ids", len(layers), len(diffIDs))
	case config.RootFS.Type != "layers":
		return nil, fault.Refused("rootfs.type is %.40q, not \"layers\"", config.RootFS.Type)
	}
	for i, layer := range layers {
		if err := checkDescriptor(layer); err != nil {
			return nil, fmt.Errorf("layer %d: %w", i, err)
		}
		if err := CheckDigest(diffIDs[i]); err != nil {
			return nil, fmt.Errorf("diff_id %d: %w", i, err)
		}
	}
	return &config, nil
}
