package transport

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// tarBlock is the unit of a tar archive.
const tarBlock = 512

// tarWriter writes a tar archive of regular files. Into a file, members are
// written side by side at offsets that follow from their sizes; into a stream,
// one after the other.
type tarWriter struct {
	out *archiveOutput

	// mu guards end for a file, and is held for a whole member of a stream.
	mu  sync.Mutex
	end int64
}

// tarHeader makes a header that is the same wherever and whenever it is made.
func tarHeader(name string, size int64) ([]byte, error) {
	var b bytes.Buffer
	err := tar.NewWriter(&b).WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatGNU,
	})
	if err != nil {
		return nil, fmt.Errorf("tar header of %s: %w", name, err)
	}
	return b.Bytes(), nil
}

func padding(size int64) int64 { return (tarBlock - size%tarBlock) % tarBlock }

// reserve takes the room for a member in a file, and writes its header.
func (w *tarWriter) reserve(name string, size int64) (body int64, err error) {
	header, err := tarHeader(name, size)
	if err != nil {
		return 0, err
	}
	w.mu.Lock()
	at := w.end
	body = at + int64(len(header))
	w.end = body + size + padding(size)
	w.mu.Unlock()
	if _, err := w.out.file.WriteAt(header, at); err != nil {
		return 0, fmt.Errorf("write archive: %w", err)
	}
	return body, nil
}

// member writes one file of known size from a stream.
func (w *tarWriter) member(name string, size int64, body io.Reader) error {
	if !w.out.streams() {
		at, err := w.reserve(name, size)
		if err != nil {
			return err
		}
		return exactly(newOffsetWriter(w.out.file, at), body, name, size)
	}
	header, err := tarHeader(name, size)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := w.out.stream.Write(header); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	if err := exactly(w.out.stream, body, name, size); err != nil {
		return err
	}
	if _, err := w.out.stream.Write(make([]byte, padding(size))); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	return nil
}

// exactly copies size bytes, and the end of the stream behind them: a stream
// that verifies gives its verdict there.
func exactly(w io.Writer, body io.Reader, name string, size int64) error {
	counted := &countingWriter{w: w}
	if err := copyTo(counted, body); err != nil {
		return fmt.Errorf("write %s into the archive: %w", name, err)
	}
	if counted.n != size {
		return fmt.Errorf("write %s into the archive: it has %d bytes in place of %d", name, counted.n, size)
	}
	return nil
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// section writes a member that is part of a local file. Into a file the kernel
// copies, and the copy is hashed.
func (w *tarWriter) section(ctx context.Context, name string, desc ispec.Descriptor, f *os.File, offset int64, moved func(int64)) error {
	if w.out.streams() {
		r := newVerifier(&contextReader{ctx, io.NewSectionReader(f, offset, desc.Size)}, desc)
		return w.member(name, desc.Size, &countingReader{io.NopCloser(r), moved})
	}
	at, err := w.reserve(name, desc.Size)
	if err != nil {
		return err
	}
	if err := cloneRange(ctx, w.out.file, at, f, offset, desc.Size); err != nil {
		return fmt.Errorf("write %s into the archive: %w", name, err)
	}
	return verifySection(ctx, w.out.file, at, desc, moved)
}

// finish writes the end of the archive, two blocks of zeros.
func (w *tarWriter) finish() error {
	var err error
	if w.out.streams() {
		_, err = w.out.stream.Write(make([]byte, 2*tarBlock))
	} else {
		err = w.out.file.Truncate(w.end + 2*tarBlock)
	}
	if err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	return nil
}

// bytes writes a small member.
func (w *tarWriter) bytes(name string, data []byte) error {
	return w.member(name, int64(len(data)), bytes.NewReader(data))
}

// unsized writes a member whose size shows at its end: into a file, where the
// header is written afterwards; a stream needs it before, so that the member
// is spooled.
func (w *tarWriter) unsized(name, tempDir string, body io.Reader) error {
	if w.out.streams() {
		f, err := unnamedFile(tempDir)
		if err != nil {
			return err
		}
		err = copyTo(f, body)
		if err == nil {
			var size int64
			if size, err = f.Seek(0, io.SeekCurrent); err == nil {
				err = w.member(name, size, io.NewSectionReader(f, 0, size))
			}
		}
		return errors.Join(err, f.Close())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	body0 := w.end + tarBlock
	counted := &countingWriter{w: newOffsetWriter(w.out.file, body0)}
	if err := copyTo(counted, body); err != nil {
		return fmt.Errorf("write %s into the archive: %w", name, err)
	}
	header, err := tarHeader(name, counted.n)
	if err != nil {
		return err
	}
	if len(header) != tarBlock {
		return fmt.Errorf("tar header of %s does not fit into one block", name)
	}
	if _, err := w.out.file.WriteAt(header, w.end); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	w.end = body0 + counted.n + padding(counted.n)
	return nil
}
