package layout

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/lib/durable"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// BlobWriter writes one blob. Until it is committed nothing of it can be seen
// in the layout, and a process that dies leaves nothing behind.
type BlobWriter struct {
	layout *Layout
	file   *durable.TempFile
	hash   hash.Hash
	size   int64
}

// NewBlob begins a blob with a sha256 digest.
func (l *Layout) NewBlob(ctx context.Context) (*BlobWriter, error) {
	return l.NewBlobOf(ctx, digest.SHA256)
}

// NewBlobOf begins a blob with a digest of the algorithm.
func (l *Layout) NewBlobOf(ctx context.Context, algorithm digest.Algorithm) (*BlobWriter, error) {
	if !algorithm.Available() {
		return nil, fault.Refused("digest algorithm %.40q is not supported", string(algorithm))
	}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	dir := l.tempDir()
	if err := makeDirs(dir); err != nil {
		return nil, fmt.Errorf("write blob: %w", err)
	}
	f, err := durable.Temp(dir)
	if err != nil {
		return nil, fmt.Errorf("write blob in %s: %w", dir, err)
	}
	return &BlobWriter{layout: l, file: f, hash: algorithm.Hash()}, nil
}

// tempDir is on the file system of the blobs, but not among them, where other
// programs expect digests only.
func (l *Layout) tempDir() string {
	if l.blobs == filepath.Join(l.dir, blobsDir) {
		return l.dir
	}
	return l.blobs
}

// Write appends to the blob.
func (w *BlobWriter) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	w.hash.Write(p[:n])
	w.size += int64(n)
	if err != nil {
		return n, fmt.Errorf("write blob in %s: %w", w.layout.dir, err)
	}
	return n, nil
}

// Size is how many bytes have been written.
func (w *BlobWriter) Size() int64 { return w.size }

// Digest is that of the bytes written so far.
func (w *BlobWriter) Digest() digest.Digest {
	algorithm := digest.SHA256
	if w.hash.Size() == 64 {
		algorithm = digest.SHA512
	}
	return digest.NewDigest(algorithm, w.hash)
}

// File is the file behind the writer, for reflinks and in-kernel copies. The
// caller that writes to it itself commits with CommitHashed.
func (w *BlobWriter) File() *os.File { return w.file.File }

// Commit puts the blob into the layout under its digest.
func (w *BlobWriter) Commit(ctx context.Context, mediaType string) (ispec.Descriptor, error) {
	desc := ispec.Descriptor{MediaType: mediaType, Digest: w.Digest(), Size: w.size}
	return desc, w.publish(ctx, desc)
}

// CommitAs puts the blob into the layout when it is the one that the
// descriptor tells; else it refuses, and nothing is kept.
func (w *BlobWriter) CommitAs(ctx context.Context, desc ispec.Descriptor) error {
	if got := w.Digest(); got != desc.Digest || w.size != desc.Size {
		err := fault.Refused("blob has digest %s and %d bytes, its descriptor says %s and %d", got, w.size, desc.Digest, desc.Size)
		return errors.Join(err, w.Cancel())
	}
	return w.publish(ctx, desc)
}

// CommitHashed is for a file that was filled through File, by one who has
// hashed what is in it: desc tells the outcome.
func (w *BlobWriter) CommitHashed(ctx context.Context, desc ispec.Descriptor) error {
	if err := checkDescriptor(desc); err != nil {
		return errors.Join(err, w.Cancel())
	}
	return w.publish(ctx, desc)
}

// Cancel drops the blob. After a commit it does nothing, so that it can be
// deferred.
func (w *BlobWriter) Cancel() error {
	if err := w.file.Drop(); err != nil {
		return fmt.Errorf("drop blob: %w", err)
	}
	return nil
}

// publish syncs the file and gives it its name. A blob of that name is
// replaced: ours is verified, and the one there might be damaged.
func (w *BlobWriter) publish(ctx context.Context, desc ispec.Descriptor) error {
	err := context.Cause(ctx)
	if err == nil {
		err = adopt(w.file.File)
	}
	if err == nil {
		err = w.file.Sync()
	}
	if err == nil {
		err = w.name(desc.Digest)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("store blob %s in %s: %w", desc.Digest, w.layout.dir, err), w.Cancel())
	}
	return w.Cancel()
}

// name puts the file in its place.
func (w *BlobWriter) name(d digest.Digest) error {
	path, err := w.layout.BlobPath(d)
	if err != nil {
		return err
	}
	if err := makeDirs(filepath.Dir(path)); err != nil {
		return err
	}
	return w.file.Rename(path)
}

// PutBytes stores data as a blob.
func (l *Layout) PutBytes(ctx context.Context, mediaType string, data []byte) (ispec.Descriptor, error) {
	w, err := l.NewBlob(ctx)
	if err != nil {
		return ispec.Descriptor{}, err
	}
	if _, err := w.Write(data); err != nil {
		return ispec.Descriptor{}, errors.Join(err, w.Cancel())
	}
	return w.Commit(ctx, mediaType)
}
