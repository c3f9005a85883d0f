package transport

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/image"
	"go.podman.io/image/v5/manifest"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
	"github.com/oci-plumbing/oci-plumbing/lib/strictjson"
)

// inspected is one image of the source that the policy allows, with its
// manifest and config held to the rules of lib/layout.
type inspected struct {
	raw      []byte
	manifest *ispec.Manifest
	// config and rawConfig are set for images, and not for other artifacts.
	config    *ispec.Image
	rawConfig []byte
}

// inspect reads an image's manifest and config; nil for a manifest that only
// the library can read (Docker's schema 1).
func (j *job) inspect(ctx context.Context, src blobSource, instance *digest.Digest) (*inspected, error) {
	img := image.UnparsedInstance(j.source, instance)
	if err := j.copier.allowed(ctx, img); err != nil {
		return nil, err
	}
	raw, mediaType, err := img.Manifest(ctx)
	if err != nil {
		return nil, err
	}
	if mediaType != ispec.MediaTypeImageManifest && mediaType != manifest.DockerV2Schema2MediaType {
		return nil, nil //nolint:nilnil // for the library, and no error
	}
	m, err := decodeManifest(raw)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	i := &inspected{raw: raw, manifest: m}
	if !isImageConfig(m.Config.MediaType) {
		return i, nil
	}
	if i.rawConfig, err = document(ctx, src, m.Config); err == nil {
		i.config = new(ispec.Image)
		err = strictjson.Decode(i.rawConfig, i.config)
	}
	if err == nil {
		err = i.check()
	}
	if err != nil {
		return nil, fmt.Errorf("config %s: %w", m.Config.Digest, err)
	}
	return i, nil
}

// check compares config and manifest.
func (i *inspected) check() error {
	layers, diffIDs := i.manifest.Layers, i.config.RootFS.DiffIDs
	switch {
	case i.config.RootFS.Type != "layers":
		return fault.Refused("rootfs.type is %.40q, not \"layers\"", i.config.RootFS.Type)
	case len(layers) != len(diffIDs):
		return fault.Refused("it has %d diff_ids, the manifest %d layers", len(diffIDs), len(layers))
	}
	for n, diffID := range diffIDs {
		if err := layout.CheckDigest(diffID); err != nil {
			return fmt.Errorf("diff_id %d: %w", n, err)
		}
	}
	return nil
}

// document reads a small blob whole.
func document(ctx context.Context, src blobSource, desc ispec.Descriptor) ([]byte, error) {
	if err := layout.CheckDigest(desc.Digest); err != nil {
		return nil, err
	}
	if desc.Size > layout.MaxDocument {
		return nil, fault.Refused("it has %d bytes, more than %d", desc.Size, layout.MaxDocument)
	}
	r, err := src.openBlob(ctx, desc)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	err = errors.Join(err, r.Close())
	if err != nil {
		return nil, err
	}
	if far, ok := src.(interface {
		remember(d digest.Digest, data []byte)
	}); ok {
		far.remember(desc.Digest, data)
	}
	return data, nil
}
