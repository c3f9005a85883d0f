package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/types"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/transport/registry"
)

// registrySource reads an image from a registry, or from a mirror of it.
type registrySource struct {
	ref        *registryRef
	client     *registry.Client
	repository string
	top        *registry.Manifest
	// documents are configs that were fetched to be checked, by digest; they
	// are asked for again when they are copied, and when the library looks.
	documents sync.Map // digest.Digest → []byte
}

// accepted are the manifest types that are asked for, the best first.
var accepted = []string{
	ispec.MediaTypeImageManifest, ispec.MediaTypeImageIndex,
	manifest.DockerV2Schema2MediaType, manifest.DockerV2ListMediaType,
	manifest.DockerV2Schema1SignedMediaType, manifest.DockerV2Schema1MediaType,
}

// openSource fetches the top manifest from one place.
func (r *registryRef) openSource(ctx context.Context, sys *types.SystemContext, place sysregistriesv2.PullSource) (*registrySource, error) {
	if reference.Domain(place.Reference) != reference.Domain(r.named) {
		// What was given on the command line is for the registry that was
		// named there, and for no mirror of it.
		own := *sys
		own.DockerAuthConfig, own.DockerBearerRegistryToken, own.DockerCertPath = nil, "", ""
		sys = &own
	}
	client, err := r.copier.client(sys, place.Reference, place.Endpoint.Insecure)
	if err != nil {
		return nil, err
	}
	s := &registrySource{ref: r, client: client, repository: reference.Path(place.Reference)}
	tag, err := tagOrDigest(place.Reference)
	if err != nil {
		return nil, err
	}
	if s.top, err = client.Manifest(ctx, s.repository, tag, accepted); err != nil {
		if errors.Is(err, fault.ErrNotFound) {
			err = s.withTags(ctx, err)
		}
		return nil, err
	}
	return s, nil
}

// tagOrDigest is the last part of a reference.
func tagOrDigest(named reference.Named) (string, error) {
	switch r := named.(type) {
	case reference.Canonical:
		return r.Digest().String(), nil
	case reference.NamedTagged:
		return r.Tag(), nil
	default:
		return "", fault.Usage("reference %s has neither a tag nor a digest", named)
	}
}

// withTags adds to a failure which tags there are.
func (s *registrySource) withTags(ctx context.Context, err error) error {
	const most = 20
	tags, tagsErr := s.client.Tags(ctx, s.repository, most+1)
	switch {
	case tagsErr != nil || len(tags) == 0:
		return err
	case len(tags) > most:
		tags = append(tags[:most], "and more")
	}
	return fmt.Errorf("%w; the repository has the tags %s", err, strings.Join(tags, ", "))
}

// Reference is what was asked for, whatever mirror serves it.
func (s *registrySource) Reference() types.ImageReference { return s.ref }

// Close has nothing to release: the client is the copier's.
func (s *registrySource) Close() error { return nil }

// GetManifest returns the top manifest, or fetches that of an instance.
func (s *registrySource) GetManifest(ctx context.Context, instance *digest.Digest) ([]byte, string, error) {
	m := s.top
	if instance != nil {
		var err error
		if m, err = s.client.Manifest(ctx, s.repository, instance.String(), accepted); err != nil {
			return nil, "", err
		}
	}
	switch m.MediaType {
	case "", "text/plain", "application/octet-stream", "application/json":
		return m.Raw, manifest.GuessMIMEType(m.Raw), nil
	default:
		return m.Raw, m.MediaType, nil
	}
}

// GetBlob opens a blob that verifies itself.
func (s *registrySource) GetBlob(ctx context.Context, info types.BlobInfo, _ types.BlobInfoCache) (io.ReadCloser, int64, error) {
	desc := ispec.Descriptor{Digest: info.Digest, Size: info.Size}
	if data, ok := s.recall(info.Digest); ok {
		return io.NopCloser(bytes.NewReader(data)), int64(len(data)), nil
	}
	if desc.Size < 0 {
		// Manifests of schema 1 tell no sizes.
		size, err := s.client.BlobSize(ctx, s.repository, info.Digest)
		if err != nil {
			return nil, 0, err
		}
		desc.Size = size
	}
	r, err := s.client.Blob(ctx, s.repository, desc)
	return r, desc.Size, err
}

// HasThreadSafeGetBlob is true.
func (s *registrySource) HasThreadSafeGetBlob() bool { return true }

// GetSignatures returns none; where there may be some, the library reads.
func (s *registrySource) GetSignatures(context.Context, *digest.Digest) ([][]byte, error) {
	return nil, nil
}

// LayerInfosForCopy leaves the layers as the manifest has them.
func (s *registrySource) LayerInfosForCopy(context.Context, *digest.Digest) ([]types.BlobInfo, error) {
	return nil, nil
}

// openBlob is part of blobSource.
func (s *registrySource) openBlob(ctx context.Context, desc ispec.Descriptor) (io.ReadCloser, error) {
	if data, ok := s.recall(desc.Digest); ok && int64(len(data)) == desc.Size {
		return io.NopCloser(bytes.NewReader(data)), nil
	}
	return s.client.Blob(ctx, s.repository, desc)
}

// remember keeps a document that was read and verified.
func (s *registrySource) remember(d digest.Digest, data []byte) { s.documents.Store(d, data) }

func (s *registrySource) recall(d digest.Digest) ([]byte, bool) {
	value, ok := s.documents.Load(d)
	data, isData := value.([]byte)
	return data, ok && isData
}
