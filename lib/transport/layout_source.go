package transport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/types"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
)

// layoutSource reads an image from a layout; its blobs may be read at the same
// time, which the library's own does not allow.
type layoutSource struct {
	ref    *layoutRef
	layout *layout.Layout
	// top is the manifest or index; topRaw is set when several descriptors
	// share the tag, one per platform, and stand for an index together.
	top    ispec.Descriptor
	topRaw []byte
}

func (r *layoutRef) open(ctx context.Context) (*layoutSource, error) {
	l, err := layout.Open(r.ref.Dir, r.layoutOptions()...)
	if err != nil {
		return nil, err
	}
	found, err := l.Find(ctx, r.ref)
	if err != nil {
		return nil, err
	}
	s := &layoutSource{ref: r, layout: l, top: found[0]}
	if len(found) > 1 {
		s.topRaw, err = json.Marshal(ispec.Index{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ispec.MediaTypeImageIndex, Manifests: found,
		})
		if err != nil {
			return nil, fmt.Errorf("index of %s: %w", r.ref, err)
		}
		s.top = ispec.Descriptor{MediaType: ispec.MediaTypeImageIndex, Digest: digest.FromBytes(s.topRaw), Size: int64(len(s.topRaw))}
	}
	return s, nil
}

// Reference is what was asked for.
func (s *layoutSource) Reference() types.ImageReference { return s.ref }

// Close has nothing to release.
func (s *layoutSource) Close() error { return nil }

// GetManifest reads and verifies the top manifest, or that of an instance.
func (s *layoutSource) GetManifest(ctx context.Context, instance *digest.Digest) ([]byte, string, error) {
	if instance == nil || *instance == s.top.Digest {
		if s.topRaw != nil {
			return s.topRaw, s.top.MediaType, nil
		}
		raw, err := s.layout.ReadBlob(ctx, s.top, layout.MaxDocument)
		return raw, s.top.MediaType, err
	}
	size, err := s.size(*instance)
	if err != nil {
		return nil, "", err
	}
	raw, err := s.layout.ReadBlob(ctx, ispec.Descriptor{Digest: *instance, Size: size}, layout.MaxDocument)
	return raw, manifest.GuessMIMEType(raw), err
}

// size asks the file system for what no descriptor at hand tells; the digest
// decides in the end.
func (s *layoutSource) size(d digest.Digest) (int64, error) {
	path, err := s.layout.BlobPath(d)
	if err != nil {
		return 0, err
	}
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fault.NotFound("blob %s is not in layout %s", d, s.layout.Dir())
	}
	if err != nil {
		return 0, fmt.Errorf("blob %s: %w", d, err)
	}
	return info.Size(), nil
}

// GetBlob opens a blob; reading it to the end verifies it.
func (s *layoutSource) GetBlob(ctx context.Context, info types.BlobInfo, _ types.BlobInfoCache) (io.ReadCloser, int64, error) {
	desc := ispec.Descriptor{Digest: info.Digest, Size: info.Size}
	if desc.Size < 0 {
		size, err := s.size(info.Digest)
		if err != nil {
			return nil, 0, err
		}
		desc.Size = size
	}
	r, err := s.layout.Blob(ctx, desc)
	return r, desc.Size, err
}

// HasThreadSafeGetBlob is true: they are files.
func (s *layoutSource) HasThreadSafeGetBlob() bool { return true }

// GetSignatures returns none: a layout has no place for them.
func (s *layoutSource) GetSignatures(context.Context, *digest.Digest) ([][]byte, error) {
	return nil, nil
}

// LayerInfosForCopy leaves the layers as the manifest has them.
func (s *layoutSource) LayerInfosForCopy(context.Context, *digest.Digest) ([]types.BlobInfo, error) {
	return nil, nil
}

// openBlob is part of blobSource.
func (s *layoutSource) openBlob(ctx context.Context, desc ispec.Descriptor) (io.ReadCloser, error) {
	return s.layout.Blob(ctx, desc)
}

// openSection is part of sectionSource: a blob is a whole file.
func (s *layoutSource) openSection(desc ispec.Descriptor) (*os.File, int64, error) {
	f, err := s.layout.OpenBlob(desc)
	return f, 0, err
}
