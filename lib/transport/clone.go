package transport

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// copyBuffer is the size of one read: large enough that system calls do not
// count, small enough that six blobs in flight stay far below 64 MB.
const copyBuffer = 512 << 10

// cloneRange copies size bytes between files inside the kernel: sharing the
// extents where the file system can (Btrfs, XFS), else by copy_file_range, else
// (across file systems of old kernels) through a buffer.
func cloneRange(ctx context.Context, dst *os.File, dstOffset int64, src *os.File, srcOffset, size int64) error {
	if srcOffset == 0 && dstOffset == 0 {
		if unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())) == nil {
			return nil
		}
	}
	for left := size; left > 0; {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		n, err := unix.CopyFileRange(int(src.Fd()), &srcOffset, int(dst.Fd()), &dstOffset, int(min(left, writebackChunk)), 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EXDEV), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EPERM):
			return copyRange(dst, dstOffset, src, srcOffset, left)
		case err != nil:
			return &os.PathError{Op: "copy_file_range", Path: dst.Name(), Err: err}
		case n == 0:
			return fault.Refused("%s ends %d bytes early", src.Name(), left)
		}
		left -= int64(n)
		beginWriteback(dst, dstOffset-int64(n), int64(n))
	}
	return nil
}

// writebackChunk is how much is written before the kernel is asked to begin
// with it.
const writebackChunk = 16 << 20

// beginWriteback has the kernel write back the range, while the next one is
// made, so that the sync at the end has little to do. It is a hint: the sync
// finds every error.
func beginWriteback(f *os.File, offset, size int64) {
	_ = unix.SyncFileRange(int(f.Fd()), offset, size, unix.SYNC_FILE_RANGE_WRITE)
}

// offsetWriter writes to a file from an offset on, and begins to write back
// what is there.
type offsetWriter struct {
	file  *os.File
	at    int64
	begun int64 // up to where writing back has begun
}

func newOffsetWriter(f *os.File, at int64) *offsetWriter {
	return &offsetWriter{file: f, at: at, begun: at}
}

func (w *offsetWriter) Write(p []byte) (int, error) {
	n, err := w.file.WriteAt(p, w.at)
	if w.at += int64(n); w.at-w.begun >= writebackChunk {
		beginWriteback(w.file, w.begun, w.at-w.begun)
		w.begun = w.at
	}
	return n, err
}

// copyRange is the way without help from the kernel.
func copyRange(dst *os.File, dstOffset int64, src *os.File, srcOffset, size int64) error {
	w := newOffsetWriter(dst, dstOffset)
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{io.NewSectionReader(src, srcOffset, size)}, make([]byte, copyBuffer))
	if err == nil && n < size {
		err = fault.Refused("%s ends %d bytes early", src.Name(), size-n)
	}
	return err
}

// copyTo copies a stream through a large buffer.
func copyTo(w io.Writer, r io.Reader) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, copyBuffer))
	return err
}

// verifySection hashes desc.Size bytes of f from offset on. moved is told of
// each piece; it may be nil.
func verifySection(ctx context.Context, f *os.File, offset int64, desc ispec.Descriptor, moved func(int64)) error {
	hash := desc.Digest.Algorithm().Hash()
	buf := make([]byte, copyBuffer)
	for left := desc.Size; left > 0; {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		n, err := f.ReadAt(buf[:min(left, copyBuffer)], offset)
		if n == 0 {
			if err == nil || errors.Is(err, io.EOF) {
				err = fault.Refused("%s ends %d bytes early", f.Name(), left)
			}
			return err
		}
		hash.Write(buf[:n])
		offset, left = offset+int64(n), left-int64(n)
		if moved != nil {
			moved(int64(n))
		}
	}
	if got := digest.NewDigest(desc.Digest.Algorithm(), hash); got != desc.Digest {
		return fault.Refused("blob %s has the digest %s: it is damaged or forged", desc.Digest, got)
	}
	return nil
}

// bounded ends a stream of known size with an error as soon as it turns out
// longer.
func bounded(r io.Reader, size int64) io.Reader {
	if size < 0 {
		return r
	}
	return &boundedReader{r: r, left: size}
}

type boundedReader struct {
	r    io.Reader
	left int64
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n, fault.Refused("blob is longer than its descriptor says")
	}
	return n, err
}
