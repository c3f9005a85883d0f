package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/types"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
)

// layoutDestination writes an image into a layout. Nothing of it can be seen
// by its tag before Commit, and what was there before stays valid throughout.
type layoutDestination struct {
	ref    *layoutRef
	layout *layout.Layout
	// had remembers the blobs that this copy wrote or re-hashed.
	had sync.Map // digest.Digest → int64, the size
	// top is the descriptor to tag.
	top ispec.Descriptor
	// platform is the image's own, known after Commit.
	platform layout.Platform
	// tagging is set by Commit.
	tagging *layout.Tagging
}

func (r *layoutRef) create(ctx context.Context) (*layoutDestination, error) {
	if err := withoutDigest(r.ref); err != nil {
		return nil, err
	}
	l, claim, err := layout.CreateClaimed(ctx, r.ref.Dir, r.layoutOptions()...)
	if err != nil {
		return nil, err
	}
	if earlier := r.claim; earlier != nil {
		// It is another try of the same copy.
		claim.Replace(earlier)
	}
	r.claim = claim
	return &layoutDestination{ref: r, layout: l}, nil
}

// withoutDigest refuses a destination that names a digest.
func withoutDigest(ref layout.Reference) error {
	if ref.Digest == "" {
		return nil
	}
	return fault.Hint(fault.Usage("destination %s names a digest, which only the content decides", ref), "write oci:%s:TAG", ref.Dir)
}

// Reference is what was asked for.
func (d *layoutDestination) Reference() types.ImageReference { return d.ref }

// Close has nothing to release.
func (d *layoutDestination) Close() error { return nil }

// SupportedManifestMIMETypes are the OCI types, to which the library converts
// Docker's, unless digests or that format are to be kept.
func (d *layoutDestination) SupportedManifestMIMETypes() []string {
	return ociTypes(&d.ref.copier.options)
}

// ociTypes are the manifest types of a destination in the form of a layout.
func ociTypes(o *Options) []string {
	oci := []string{ispec.MediaTypeImageManifest, ispec.MediaTypeImageIndex}
	if o.PreserveDigests || o.Format == formatDocker {
		return append(oci, layout.DockerManifest, layout.DockerList)
	}
	return oci
}

// SupportsSignatures says no: a layout has no place for them.
func (d *layoutDestination) SupportsSignatures(context.Context) error {
	return fault.Hint(errors.New("an OCI layout cannot hold signatures"), "copy without them: --remove-signatures")
}

// DesiredLayerCompression asks for compressed layers.
func (d *layoutDestination) DesiredLayerCompression() types.LayerCompression {
	return ociCompression(&d.ref.copier.options)
}

func ociCompression(o *Options) types.LayerCompression {
	switch {
	case o.Decompress:
		return types.Decompress
	case o.KeepUncompressed || o.PreserveDigests:
		return types.PreserveOriginal
	default:
		return types.Compress
	}
}

// AcceptsForeignLayerURLs is true: such layers may stay where they are.
func (d *layoutDestination) AcceptsForeignLayerURLs() bool { return true }

// MustMatchRuntimeOS is false.
func (d *layoutDestination) MustMatchRuntimeOS() bool { return false }

// IgnoresEmbeddedDockerReference does not matter: there is none.
func (d *layoutDestination) IgnoresEmbeddedDockerReference() bool { return false }

// HasThreadSafePutBlob is true.
func (d *layoutDestination) HasThreadSafePutBlob() bool { return true }

// PutBlob stores what the library hands over.
func (d *layoutDestination) PutBlob(ctx context.Context, stream io.Reader, info types.BlobInfo, _ types.BlobInfoCache, _ bool) (types.BlobInfo, error) {
	algorithm := digest.SHA256
	if info.Digest != "" {
		if err := layout.CheckDigest(info.Digest); err != nil {
			return types.BlobInfo{}, err
		}
		algorithm = info.Digest.Algorithm()
	}
	w, err := d.layout.NewBlobOf(ctx, algorithm)
	if err != nil {
		return types.BlobInfo{}, err
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{w}, bounded(stream, info.Size), make([]byte, copyBuffer)); err != nil {
		return types.BlobInfo{}, errors.Join(err, w.Cancel())
	}
	want := ispec.Descriptor{Digest: info.Digest, Size: info.Size}
	if want.Digest == "" {
		want.Digest = w.Digest()
	}
	if want.Size < 0 {
		want.Size = w.Size()
	}
	if err := w.CommitAs(ctx, want); err != nil {
		return types.BlobInfo{}, err
	}
	d.keep(want)
	return types.BlobInfo{Digest: want.Digest, Size: want.Size}, nil
}

// TryReusingBlob takes a blob that is there, after hashing it anew.
func (d *layoutDestination) TryReusingBlob(ctx context.Context, info types.BlobInfo, _ types.BlobInfoCache, _ bool) (bool, types.BlobInfo, error) {
	desc := ispec.Descriptor{Digest: info.Digest, Size: info.Size}
	if size, ok := d.size(info.Digest); ok {
		return true, types.BlobInfo{Digest: info.Digest, Size: size}, nil
	}
	if desc.Size < 0 {
		return false, types.BlobInfo{}, nil
	}
	ok, err := d.hasBlob(ctx, desc)
	if !ok || err != nil {
		return false, types.BlobInfo{}, err
	}
	return true, types.BlobInfo{Digest: info.Digest, Size: info.Size}, nil
}

// keep remembers a blob that this copy has stored.
func (d *layoutDestination) keep(desc ispec.Descriptor) {
	d.had.Store(desc.Digest, desc.Size)
	if path, err := d.layout.BlobPath(desc.Digest); err == nil {
		d.ref.stored.Store(path, struct{}{})
	}
}

// size tells the size of a blob that this copy has seen to.
func (d *layoutDestination) size(blob digest.Digest) (int64, bool) {
	value, ok := d.had.Load(blob)
	size, isSize := value.(int64)
	return size, ok && isSize
}

// PutManifest stores a manifest or an index.
func (d *layoutDestination) PutManifest(ctx context.Context, raw []byte, instance *digest.Digest) error {
	desc, err := d.layout.PutBytes(ctx, manifest.GuessMIMEType(raw), raw)
	if err != nil {
		return err
	}
	d.keep(desc)
	if instance == nil {
		d.top = desc
		return nil
	}
	if *instance != desc.Digest {
		return fault.Refused("manifest of instance %s has the digest %s", *instance, desc.Digest)
	}
	return nil
}

// PutSignatures refuses any.
func (d *layoutDestination) PutSignatures(ctx context.Context, signatures [][]byte, _ *digest.Digest) error {
	if len(signatures) == 0 {
		return nil
	}
	return d.SupportsSignatures(ctx)
}

// Commit reads back what the tag is to name, so that a layout never gets a tag
// for an image that its readers refuse, and then sets the tag.
func (d *layoutDestination) Commit(ctx context.Context, _ types.UnparsedImage) error {
	if err := d.check(ctx); err != nil {
		return fmt.Errorf("image %s: %w", d.ref.ref, err)
	}
	var err error
	d.tagging, err = d.layout.SetTag(ctx, d.ref.ref.Tag, d.top)
	return err
}

// undo gives the tag back to what had it. Blobs that nothing names any more
// are left: another writer may count on them.
func (d *layoutDestination) undo(ctx context.Context) error {
	if d.tagging == nil {
		return nil
	}
	return d.tagging.Undo(ctx)
}

// check holds an image to the rules of lib/layout: the media type inside is
// the one outside, layers and diff_ids are as many. Other artifacts than
// images have no such rules.
func (d *layoutDestination) check(ctx context.Context) error {
	if !layout.IsManifest(d.top.MediaType) {
		return nil
	}
	raw, err := d.layout.ReadBlob(ctx, d.top, layout.MaxDocument)
	if err != nil {
		return err
	}
	m, err := decodeManifest(raw)
	if err != nil || !isImageConfig(m.Config.MediaType) {
		return err
	}
	img, err := d.layout.Image(ctx, d.top)
	if err != nil {
		return err
	}
	d.platform = img.Platform
	want := d.ref.copier.options.Platforms
	if len(want) == 1 && !matches(want[0], img.Platform) {
		return fault.NotFound("no image for platform %s, there is %s", want[0], img.Platform)
	}
	return nil
}

// hasBlob is part of blobDestination.
func (d *layoutDestination) hasBlob(ctx context.Context, desc ispec.Descriptor) (bool, error) {
	if size, ok := d.size(desc.Digest); ok {
		return size == desc.Size, nil
	}
	ok, err := d.layout.HasBlob(ctx, desc)
	if ok {
		d.had.Store(desc.Digest, desc.Size)
	}
	return ok, err
}

// putStream is part of blobDestination: the stream is one that verifies, and
// the writer hashes again what arrives on disk only if nobody has.
func (d *layoutDestination) putStream(ctx context.Context, desc ispec.Descriptor, verified io.Reader) error {
	w, err := d.layout.NewBlobOf(ctx, desc.Digest.Algorithm())
	if err != nil {
		return err
	}
	if err := copyTo(w.File(), verified); err != nil {
		return errors.Join(fmt.Errorf("store blob %s: %w", desc.Digest, err), w.Cancel())
	}
	if err := w.CommitHashed(ctx, desc); err != nil {
		return err
	}
	d.keep(desc)
	return nil
}

// putSection is part of sectionDestination: the kernel copies, and the copy is
// what gets hashed.
func (d *layoutDestination) putSection(ctx context.Context, desc ispec.Descriptor, f *os.File, offset int64, moved func(int64)) error {
	if d.ref.copier.options.LinkBlobs && offset == 0 {
		if linked, err := d.link(ctx, desc, f, moved); linked || err != nil {
			return err
		}
	}
	w, err := d.layout.NewBlobOf(ctx, desc.Digest.Algorithm())
	if err != nil {
		return err
	}
	err = cloneRange(ctx, w.File(), 0, f, offset, desc.Size)
	if err == nil {
		err = verifySection(ctx, w.File(), 0, desc, moved)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("store blob %s: %w", desc.Digest, err), w.Cancel())
	}
	if err := w.CommitHashed(ctx, desc); err != nil {
		return err
	}
	d.keep(desc)
	return nil
}

// link shares the file of a blob, after hashing it. It reports false where the
// blob has to be copied: on another file system, or out of an archive.
func (d *layoutDestination) link(ctx context.Context, desc ispec.Descriptor, f *os.File, moved func(int64)) (bool, error) {
	if info, err := f.Stat(); err != nil || info.Size() != desc.Size {
		return false, err
	}
	if err := verifySection(ctx, f, 0, desc, moved); err != nil {
		return false, err
	}
	err := d.layout.LinkBlob(ctx, desc, f)
	if errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EMLINK) {
		return false, nil
	}
	if err == nil {
		d.keep(desc)
	}
	return err == nil, err
}
