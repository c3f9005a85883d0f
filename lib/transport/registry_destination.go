package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/types"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
	"github.com/oci-plumbing/oci-plumbing/lib/transport/registry"
)

// registryDestination writes an image into a repository.
type registryDestination struct {
	ref        *registryRef
	client     *registry.Client
	repository string
	tempDir    string
	// mountFrom is another repository of the same registry that has the
	// blobs; "" when there is none.
	mountFrom string
	// had remembers the blobs that this copy has found or stored there.
	had sync.Map // digest.Digest → struct{}
}

// Reference is what was asked for.
func (d *registryDestination) Reference() types.ImageReference { return d.ref }

// Close has nothing to release: the client is the copier's.
func (d *registryDestination) Close() error { return nil }

// SupportedManifestMIMETypes are all but the withdrawn schema 1, which is
// written on demand only.
func (d *registryDestination) SupportedManifestMIMETypes() []string {
	all := []string{ispec.MediaTypeImageManifest, manifest.DockerV2Schema2MediaType, ispec.MediaTypeImageIndex, manifest.DockerV2ListMediaType}
	if d.ref.copier.options.Format == formatSigned {
		all = append(all, manifest.DockerV2Schema1SignedMediaType, manifest.DockerV2Schema1MediaType)
	}
	return all
}

// SupportsSignatures says no; where signatures are to be stored, the library
// writes.
func (d *registryDestination) SupportsSignatures(context.Context) error {
	return fault.Hint(errors.New("these signatures cannot be stored"), "copy without them: --remove-signatures")
}

// DesiredLayerCompression asks for compressed layers.
func (d *registryDestination) DesiredLayerCompression() types.LayerCompression {
	return ociCompression(&d.ref.copier.options)
}

// AcceptsForeignLayerURLs is true: such layers may stay where they are.
func (d *registryDestination) AcceptsForeignLayerURLs() bool { return true }

// MustMatchRuntimeOS is false.
func (d *registryDestination) MustMatchRuntimeOS() bool { return false }

// IgnoresEmbeddedDockerReference is false: schema 1 names its repository.
func (d *registryDestination) IgnoresEmbeddedDockerReference() bool { return false }

// HasThreadSafePutBlob is true.
func (d *registryDestination) HasThreadSafePutBlob() bool { return true }

// PutBlob stores what the library hands over. A stream comes only once, and
// often without digest or size: it is spooled, so that an upload can be
// repeated.
func (d *registryDestination) PutBlob(ctx context.Context, stream io.Reader, info types.BlobInfo, _ types.BlobInfoCache, _ bool) (_ types.BlobInfo, err error) {
	f, desc, err := spool(d.tempDir, bounded(stream, info.Size), info.Digest)
	if err != nil {
		return types.BlobInfo{}, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	had, err := d.hasBlob(ctx, desc)
	if err == nil && !had {
		err = d.putOpened(ctx, desc, func() (io.ReadCloser, error) {
			return io.NopCloser(io.NewSectionReader(f, 0, desc.Size)), nil
		})
	}
	return types.BlobInfo{Digest: desc.Digest, Size: desc.Size}, err
}

// spool keeps a stream in a file without a name, and hashes it.
func spool(dir string, stream io.Reader, want digest.Digest) (*os.File, ispec.Descriptor, error) {
	f, err := unnamedFile(dir)
	if err != nil {
		return nil, ispec.Descriptor{}, err
	}
	algorithm := digest.SHA256
	if want != "" {
		if err := layout.CheckDigest(want); err != nil {
			return nil, ispec.Descriptor{}, errors.Join(err, f.Close())
		}
		algorithm = want.Algorithm()
	}
	hash := algorithm.Hash()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(f, hash)}, stream, make([]byte, copyBuffer))
	got := digest.NewDigest(algorithm, hash)
	if err == nil && want != "" && got != want {
		err = fault.Refused("blob %s arrives with the digest %s", want, got)
	}
	if err != nil {
		return nil, ispec.Descriptor{}, errors.Join(fmt.Errorf("spool: %w", err), f.Close())
	}
	return f, ispec.Descriptor{Digest: got, Size: n}, nil
}

// TryReusingBlob asks whether the repository has the blob.
func (d *registryDestination) TryReusingBlob(ctx context.Context, info types.BlobInfo, _ types.BlobInfoCache, _ bool) (bool, types.BlobInfo, error) {
	had, err := d.hasBlob(ctx, ispec.Descriptor{Digest: info.Digest, Size: info.Size})
	if !had || err != nil {
		return false, types.BlobInfo{}, err
	}
	return true, types.BlobInfo{Digest: info.Digest, Size: info.Size}, nil
}

// PutManifest stores a manifest under the tag, or that of an instance under
// its digest.
func (d *registryDestination) PutManifest(ctx context.Context, raw []byte, instance *digest.Digest) error {
	name, err := tagOrDigest(d.ref.named)
	switch {
	case instance != nil:
		name = instance.String()
	case err != nil:
		return err
	}
	err = d.client.PutManifest(ctx, d.repository, name, manifest.GuessMIMEType(raw), raw)
	var status *registry.StatusError
	if errors.As(err, &status) && (status.Status == http.StatusUnsupportedMediaType || status.Status == http.StatusBadRequest) {
		// The library then tries another format.
		return types.ManifestTypeRejectedError{Err: err}
	}
	return err
}

// PutSignatures refuses any.
func (d *registryDestination) PutSignatures(ctx context.Context, signatures [][]byte, _ *digest.Digest) error {
	if len(signatures) == 0 {
		return nil
	}
	return d.SupportsSignatures(ctx)
}

// Commit has nothing left to do: the tag was set with the manifest.
func (d *registryDestination) Commit(context.Context, types.UnparsedImage) error { return nil }

// hasBlob is part of blobDestination. A blob that a neighbour repository has
// is mounted.
func (d *registryDestination) hasBlob(ctx context.Context, desc ispec.Descriptor) (bool, error) {
	if _, ok := d.had.Load(desc.Digest); ok {
		return true, nil
	}
	had, err := d.client.HasBlob(ctx, d.repository, desc)
	if !had && err == nil && d.mountFrom != "" {
		had, err = d.client.Mount(ctx, d.repository, desc, d.mountFrom)
	}
	if had {
		d.had.Store(desc.Digest, struct{}{})
	}
	return had, err
}

// putOpened is part of reopeningDestination.
func (d *registryDestination) putOpened(ctx context.Context, desc ispec.Descriptor, open func() (io.ReadCloser, error)) error {
	err := d.client.Upload(ctx, d.repository, desc, open)
	if err == nil {
		d.had.Store(desc.Digest, struct{}{})
	}
	return err
}
