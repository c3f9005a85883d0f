package transport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/types"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
)

// NewImageDestination opens an archive for writing.
func (r *archiveRef) NewImageDestination(ctx context.Context, sys *types.SystemContext) (types.ImageDestination, error) {
	if r.kind == dockerArchive {
		return r.libraryDocker(ctx, sys)
	}
	out, err := r.createArchive(ctx)
	if err != nil {
		return nil, err
	}
	d := &ociArchiveDestination{ref: r, tar: &tarWriter{out: out}, tempDir: r.copier.options.tempDir(), had: make(map[digest.Digest]int64)}
	if err := d.tar.bytes(ispec.ImageLayoutFile, []byte(`{"imageLayoutVersion":"`+ispec.ImageLayoutVersion+`"}`)); err != nil {
		return nil, errors.Join(err, out.discard())
	}
	return d, nil
}

// ociArchiveDestination writes an OCI layout as a tar archive, without a
// directory in between: blobs as they come, index.json last.
type ociArchiveDestination struct {
	ref     *archiveRef
	tar     *tarWriter
	tempDir string
	top     ispec.Descriptor

	mu  sync.Mutex
	had map[digest.Digest]int64
}

// Reference is what was asked for.
func (d *ociArchiveDestination) Reference() types.ImageReference { return d.ref }

// Close drops an archive that was not committed.
func (d *ociArchiveDestination) Close() error { return d.tar.out.discard() }

// SupportedManifestMIMETypes are those of a layout.
func (d *ociArchiveDestination) SupportedManifestMIMETypes() []string {
	return ociTypes(&d.ref.copier.options)
}

// SupportsSignatures says no: a layout has no place for them.
func (d *ociArchiveDestination) SupportsSignatures(context.Context) error {
	return fault.Hint(errors.New("an OCI archive cannot hold signatures"), "copy without them: --remove-signatures")
}

// DesiredLayerCompression asks for compressed layers.
func (d *ociArchiveDestination) DesiredLayerCompression() types.LayerCompression {
	return ociCompression(&d.ref.copier.options)
}

// AcceptsForeignLayerURLs is true: such layers may stay where they are.
func (d *ociArchiveDestination) AcceptsForeignLayerURLs() bool { return true }

// MustMatchRuntimeOS is false.
func (d *ociArchiveDestination) MustMatchRuntimeOS() bool { return false }

// IgnoresEmbeddedDockerReference does not matter: there is none.
func (d *ociArchiveDestination) IgnoresEmbeddedDockerReference() bool { return false }

// HasThreadSafePutBlob is true for a file; a stream takes one blob at a time.
func (d *ociArchiveDestination) HasThreadSafePutBlob() bool { return !d.tar.out.streams() }

func blobName(d digest.Digest) string {
	return ispec.ImageBlobsDir + "/" + d.Algorithm().String() + "/" + d.Encoded()
}

// PutBlob stores what the library hands over, spooled, since its header needs
// digest and size.
func (d *ociArchiveDestination) PutBlob(_ context.Context, stream io.Reader, info types.BlobInfo, _ types.BlobInfoCache, _ bool) (types.BlobInfo, error) {
	f, desc, err := spool(d.tempDir, bounded(stream, info.Size), info.Digest)
	if err != nil {
		return types.BlobInfo{}, err
	}
	if d.claim(desc) {
		err = d.tar.member(blobName(desc.Digest), desc.Size, io.NewSectionReader(f, 0, desc.Size))
	}
	return types.BlobInfo{Digest: desc.Digest, Size: desc.Size}, errors.Join(err, f.Close())
}

// claim marks a blob as written, and reports whether it was not yet.
func (d *ociArchiveDestination) claim(desc ispec.Descriptor) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, had := d.had[desc.Digest]
	d.had[desc.Digest] = desc.Size
	return !had
}

// TryReusingBlob finds what this copy has written.
func (d *ociArchiveDestination) TryReusingBlob(_ context.Context, info types.BlobInfo, _ types.BlobInfoCache, _ bool) (bool, types.BlobInfo, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	size, had := d.had[info.Digest]
	if !had {
		return false, types.BlobInfo{}, nil
	}
	return true, types.BlobInfo{Digest: info.Digest, Size: size}, nil
}

// PutManifest stores a manifest or an index.
func (d *ociArchiveDestination) PutManifest(_ context.Context, raw []byte, instance *digest.Digest) error {
	desc := ispec.Descriptor{MediaType: manifest.GuessMIMEType(raw), Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	if instance == nil {
		d.top = desc
	} else if err := layout.CheckDigest(*instance); err != nil {
		return err
	} else if desc.Digest = instance.Algorithm().FromBytes(raw); desc.Digest != *instance {
		return fault.Refused("manifest of instance %s has the digest %s", *instance, desc.Digest)
	}
	if !d.claim(desc) {
		return nil
	}
	return d.tar.bytes(blobName(desc.Digest), raw)
}

// PutSignatures refuses any.
func (d *ociArchiveDestination) PutSignatures(ctx context.Context, signatures [][]byte, _ *digest.Digest) error {
	if len(signatures) == 0 {
		return nil
	}
	return d.SupportsSignatures(ctx)
}

// Commit writes the index, and gives the archive its name.
func (d *ociArchiveDestination) Commit(ctx context.Context, _ types.UnparsedImage) error {
	if d.ref.name != "" {
		d.top.Annotations = map[string]string{ispec.AnnotationRefName: d.ref.name}
	}
	index, err := json.Marshal(ispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ispec.MediaTypeImageIndex, Manifests: []ispec.Descriptor{d.top},
	})
	if err != nil {
		return fmt.Errorf("index.json: %w", err)
	}
	if err := d.tar.bytes(ispec.ImageIndexFile, index); err != nil {
		return err
	}
	if err := d.tar.finish(); err != nil {
		return err
	}
	return d.tar.out.publish(ctx)
}

// hasBlob is part of blobDestination.
func (d *ociArchiveDestination) hasBlob(_ context.Context, desc ispec.Descriptor) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, had := d.had[desc.Digest]
	return had, nil
}

// putStream is part of streamDestination.
func (d *ociArchiveDestination) putStream(_ context.Context, desc ispec.Descriptor, verified io.Reader) error {
	if !d.claim(desc) {
		return nil
	}
	return d.tar.member(blobName(desc.Digest), desc.Size, verified)
}

// putSection is part of sectionDestination.
func (d *ociArchiveDestination) putSection(ctx context.Context, desc ispec.Descriptor, f *os.File, offset int64, moved func(int64)) error {
	if !d.claim(desc) {
		return nil
	}
	return d.tar.section(ctx, blobName(desc.Digest), desc, f, offset, moved)
}
