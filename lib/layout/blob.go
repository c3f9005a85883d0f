package layout

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// BlobPath is where the blob of the digest lies, or would lie.
func (l *Layout) BlobPath(d digest.Digest) (string, error) {
	if err := CheckDigest(d); err != nil {
		return "", err
	}
	return filepath.Join(l.blobs, d.Algorithm().String(), d.Encoded()), nil
}

// Blob opens the blob of the descriptor. It must be a regular file of the
// descriptor's size. Reading to the end verifies the digest: a blob that does
// not match ends with a refusal in place of io.EOF. What is read before the
// end is unverified, and so is a blob whose reader is closed early.
func (l *Layout) Blob(ctx context.Context, desc ispec.Descriptor) (io.ReadCloser, error) {
	f, err := l.openBlob(desc)
	if err != nil {
		return nil, err
	}
	return &blobReader{ctx: ctx, file: f, desc: desc, left: desc.Size, hash: desc.Digest.Algorithm().Hash()}, nil
}

// OpenBlob opens the blob's file, for those who hash its bytes themselves: it
// is known to be a regular file of the right size, and nothing more.
func (l *Layout) OpenBlob(desc ispec.Descriptor) (*os.File, error) { return l.openBlob(desc) }

func (l *Layout) openBlob(desc ispec.Descriptor) (*os.File, error) {
	if err := checkDescriptor(desc); err != nil {
		return nil, err
	}
	path, err := l.BlobPath(desc.Digest)
	if err != nil {
		return nil, err
	}
	f, err := openRegular(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.NotFound("blob %s is not in layout %s", desc.Digest, l.dir)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() != desc.Size {
		err = fault.Refused("blob %s has %d bytes, its descriptor says %d", path, info.Size(), desc.Size)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// checkDescriptor refuses what no honest writer makes: a malformed digest, a
// negative size, and embedded data that is not the blob.
func checkDescriptor(desc ispec.Descriptor) error {
	if err := CheckDigest(desc.Digest); err != nil {
		return err
	}
	if desc.Size < 0 {
		return fault.Refused("descriptor of %s has the negative size %d", desc.Digest, desc.Size)
	}
	if desc.Data != nil && (int64(len(desc.Data)) != desc.Size || desc.Digest.Algorithm().FromBytes(desc.Data) != desc.Digest) {
		return fault.Refused("data embedded in the descriptor of %s does not match its digest and size", desc.Digest)
	}
	return nil
}

// blobReader verifies what it reads.
type blobReader struct {
	ctx  context.Context //nolint:containedctx // one reader serves one operation
	file *os.File
	desc ispec.Descriptor
	left int64
	hash hash.Hash
	end  error
}

func (r *blobReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, context.Cause(r.ctx)
	}
	if r.end != nil {
		return 0, r.end
	}
	if r.left == 0 {
		r.end = r.verdict()
		return 0, r.end
	}
	if int64(len(p)) > r.left {
		p = p[:r.left]
	}
	n, err := r.file.Read(p)
	r.hash.Write(p[:n])
	r.left -= int64(n)
	switch {
	case errors.Is(err, io.EOF):
		r.end = fault.Refused("blob %s ends %d bytes before its descriptor's size %d", r.desc.Digest, r.left, r.desc.Size)
	case err != nil:
		r.end = fmt.Errorf("read blob: %w", err)
	case r.left == 0:
		// The verdict is given with the last bytes, so that a consumer
		// that stops at the right count has seen it.
		r.end = r.verdict()
		if r.end != io.EOF { //nolint:errorlint // io.EOF itself is the good verdict
			return n, r.end
		}
	}
	return n, nil
}

// verdict is io.EOF for the right digest, after a look for bytes in excess.
func (r *blobReader) verdict() error {
	var one [1]byte
	if n, _ := r.file.Read(one[:]); n > 0 {
		return fault.Refused("blob %s is longer than its descriptor's size %d", r.desc.Digest, r.desc.Size)
	}
	if got := digest.NewDigest(r.desc.Digest.Algorithm(), r.hash); got != r.desc.Digest {
		return fault.Refused("blob %s has the digest %s: it is damaged or forged", r.desc.Digest, got)
	}
	return io.EOF
}

// Close closes the file. It is no verdict.
func (r *blobReader) Close() error { return r.file.Close() }

// ReadBlob reads and verifies a whole blob of at most limit bytes.
func (l *Layout) ReadBlob(ctx context.Context, desc ispec.Descriptor, limit int64) ([]byte, error) {
	if err := checkDescriptor(desc); err != nil {
		return nil, err
	}
	if desc.Size > limit {
		return nil, fault.Refused("blob %s has %d bytes, more than the %d allowed for its kind", desc.Digest, desc.Size, limit)
	}
	r, err := l.Blob(ctx, desc)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}

// verifyBuffer is how much of a blob is read at once to be hashed.
const verifyBuffer = 256 << 10

// HasBlob reports whether the blob is there and whole. It reads and hashes it:
// a damaged blob is not had.
func (l *Layout) HasBlob(ctx context.Context, desc ispec.Descriptor) (bool, error) {
	r, err := l.Blob(ctx, desc)
	switch {
	case errors.Is(err, fault.ErrNotFound):
		return false, nil
	case errors.Is(err, fault.ErrRefused):
		return false, checkDescriptor(desc)
	case err != nil:
		return false, err
	}
	// io.Discard alone would read 8 KiB at a time.
	_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, make([]byte, max(1, min(verifyBuffer, desc.Size))))
	err = errors.Join(err, r.Close())
	if errors.Is(err, fault.ErrRefused) {
		return false, nil
	}
	return err == nil, err
}
