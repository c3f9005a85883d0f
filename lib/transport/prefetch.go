package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/types"
	"golang.org/x/sync/errgroup"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// blobSource is a source that gives blobs which verify themselves while they
// are read: the wrong bytes end with a refusal in place of io.EOF.
type blobSource interface {
	openBlob(ctx context.Context, desc ispec.Descriptor) (io.ReadCloser, error)
}

// sectionSource is a blobSource whose blobs are parts of local files, which
// the kernel can copy; nothing of them is verified.
type sectionSource interface {
	openSection(desc ispec.Descriptor) (f *os.File, offset int64, err error)
}

// blobDestination takes blobs unchanged, and from several goroutines.
type blobDestination interface {
	hasBlob(ctx context.Context, desc ispec.Descriptor) (bool, error)
}

// streamDestination is a blobDestination that takes the bytes as they come.
type streamDestination interface {
	putStream(ctx context.Context, desc ispec.Descriptor, verified io.Reader) error
}

// reopeningDestination is a blobDestination that may need the bytes more than
// once, as an upload that broke begins anew.
type reopeningDestination interface {
	putOpened(ctx context.Context, desc ispec.Descriptor, open func() (io.ReadCloser, error)) error
}

// sectionDestination is a blobDestination on a local file system. It hashes
// what it has stored.
type sectionDestination interface {
	putSection(ctx context.Context, desc ispec.Descriptor, f *os.File, offset int64, moved func(int64)) error
}

// prefetch moves the blobs of the selected images ahead of the library, which
// then finds them at the destination and only has to see to the manifests. So
// blobs travel without being hashed twice or copied through small buffers, as
// many at a time as is useful, and the first failure stops all others.
//
// It does nothing where a layer has to change on the way.
func (j *job) prefetch(ctx context.Context, images []*digest.Digest, srcSys, dstSys *types.SystemContext) error {
	if j.changesLayers() {
		return nil
	}
	src, dst, ok, err := j.blobRoute(ctx, srcSys, dstSys)
	if !ok || err != nil {
		return err
	}
	var blobs []ispec.Descriptor
	for _, instance := range images {
		descs, err := j.blobsOf(ctx, src, instance)
		if err != nil {
			return err
		}
		for _, desc := range descs {
			if d, isDir := dst.(dirBlobs); isDir && !d.carries(desc.Digest) {
				continue
			}
			if !slices.ContainsFunc(blobs, func(d ispec.Descriptor) bool { return d.Digest == desc.Digest }) {
				blobs = append(blobs, desc)
			}
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(j.lanes(src, dst))
	for _, desc := range blobs {
		group.Go(func() error { return j.move(ctx, src, dst, desc) })
	}
	return group.Wait()
}

// lanes is how many blobs travel at once: one into a stream, as many as there
// are cores between files, and as many as were asked for over a network.
func (j *job) lanes(src blobSource, dst blobDestination) int {
	_, local := src.(sectionSource)
	_, files := dst.(sectionDestination)
	switch {
	case !j.destination.HasThreadSafePutBlob():
		return 1
	case local && files:
		return localParallel()
	default:
		return j.copier.parallel()
	}
}

// changesLayers reports whether the options ask for other layers than the
// source's.
func (j *job) changesLayers() bool {
	o := &j.copier.options
	return o.Compression != "" || o.ForceCompression || o.Compress || o.Decompress || o.Format == formatSigned ||
		len(o.Encryption.EncryptFor) > 0 || len(o.Encryption.DecryptWith) > 0
}

// blobsOf lists config and layers of an image; none when the library has to
// change a layer.
func (j *job) blobsOf(ctx context.Context, src blobSource, instance *digest.Digest) ([]ispec.Descriptor, error) {
	img, err := j.inspect(ctx, src, instance)
	if img == nil || err != nil {
		return nil, err
	}
	compress := j.destination.DesiredLayerCompression() == types.Compress
	var descs []ispec.Descriptor
	for _, layer := range img.manifest.Layers {
		if compress && isUncompressed(layer.MediaType) || isEncrypted(layer) {
			return nil, nil
		}
		if !isForeign(layer) {
			descs = append(descs, layer)
		}
	}
	return append(descs, img.manifest.Config), nil
}

// move brings one blob to the destination, unless it is there.
func (j *job) move(ctx context.Context, src blobSource, dst blobDestination, desc ispec.Descriptor) error {
	had, err := dst.hasBlob(ctx, desc)
	if err != nil {
		return err
	}
	if had {
		j.tracker.event(Event{Action: Reused, Digest: desc.Digest, Size: desc.Size})
		return nil
	}
	j.tracker.event(Event{Action: Begun, Digest: desc.Digest, Size: desc.Size})
	moved := j.tracker.mover(desc.Digest, desc.Size)
	if err := j.carry(ctx, src, dst, desc, moved); err != nil {
		if errors.Is(err, context.Canceled) {
			return errors.Join(context.Cause(ctx), err)
		}
		return err
	}
	j.tracker.event(Event{Action: Done, Digest: desc.Digest, Size: desc.Size, Offset: desc.Size})
	return nil
}

// carry moves the bytes in the fastest way that both sides know.
func (j *job) carry(ctx context.Context, src blobSource, dst blobDestination, desc ispec.Descriptor, moved func(int64)) error {
	if desc.Size < 0 {
		return fault.Refused("descriptor of %s has the negative size %d", desc.Digest, desc.Size)
	}
	sections, isSections := src.(sectionSource)
	files, toFiles := dst.(sectionDestination)
	if isSections && toFiles {
		f, offset, err := sections.openSection(desc)
		if err != nil {
			return err
		}
		return errors.Join(files.putSection(ctx, desc, f, offset, moved), f.Close())
	}
	if d, ok := dst.(reopeningDestination); ok {
		return d.putOpened(ctx, desc, func() (io.ReadCloser, error) {
			r, err := src.openBlob(ctx, desc)
			if err != nil {
				return nil, err
			}
			return &countingReader{r, j.tracker.mover(desc.Digest, desc.Size)}, nil
		})
	}
	d, ok := dst.(streamDestination)
	if !ok {
		return fmt.Errorf("destination %s takes no blobs", j.dst)
	}
	r, err := src.openBlob(ctx, desc)
	if err != nil {
		return err
	}
	return errors.Join(d.putStream(ctx, desc, &countingReader{r, moved}), r.Close())
}

// countingReader tells how far a stream has got.
type countingReader struct {
	io.ReadCloser
	moved func(int64)
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if n > 0 {
		c.moved(int64(n))
	}
	return n, err
}
