package changeset

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
)

// maxWindow bounds the memory of a zstd decoder.
const maxWindow = 128 << 20

// CopyTar copies a tar archive as it is, but for its compression, to out, and
// refuses what is no layer: what does not parse, is empty, or holds a name or
// number that an unpacker must refuse.
func CopyTar(ctx context.Context, out io.Writer, in io.Reader) error {
	plain, closer, err := decompress(in)
	if err != nil {
		return err
	}
	defer closer()
	count := &counter{ctx: ctx}
	tee := io.TeeReader(plain, io.MultiWriter(out, count))
	if err := checkArchive(tar.NewReader(tee)); err != nil {
		return fault.As(fault.ErrRefused, err)
	}
	// Padding behind the end belongs to the layer, and to its diffID.
	if _, err := io.Copy(io.Discard, tee); err != nil {
		return fmt.Errorf("read archive: %w", err)
	}
	if count.n == 0 {
		return fault.Refused("the archive is empty: not even its end is there")
	}
	return nil
}

// decompress goes by the first bytes.
func decompress(in io.Reader) (io.Reader, func(), error) {
	buffered := bufio.NewReaderSize(in, 256<<10)
	magic, err := buffered.Peek(10)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, fmt.Errorf("read archive: %w", err)
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, nil, fault.Refused("archive: %w", err)
		}
		return z, func() { _ = z.Close() }, nil
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(buffered, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, nil, fault.Refused("archive: %w", err)
		}
		return z, z.Close, nil
	case bytes.HasPrefix(magic, []byte("\xfd7zXZ\x00")):
		return nil, nil, unknownCompression("xz")
	case bytes.HasPrefix(magic, []byte("BZh")) && bytes.HasSuffix(magic, []byte("1AY&SY")):
		return nil, nil, unknownCompression("bzip2")
	default:
		return buffered, func() {}, nil
	}
}

func unknownCompression(program string) error {
	return fault.Hint(fault.Refused("the archive is compressed by %s, not by gzip or zstd", program),
		"decompress it first: %s -dc ARCHIVE | {tool} ... -", program)
}

func checkArchive(archive *tar.Reader) error {
	for {
		hdr, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read archive: %w", err)
		}
		if hdr.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		if err := checkEntry(hdr); err != nil {
			return fmt.Errorf("entry %q: %w", clip(hdr.Name), err)
		}
		if _, err := io.Copy(io.Discard, archive); err != nil {
			return fmt.Errorf("entry %q: %w", clip(hdr.Name), err)
		}
	}
}

// Bounds of what a filesystem can hold.
const (
	maxComponent = 255
	maxMajor     = 1<<12 - 1
	maxMinor     = 1<<20 - 1
)

func checkEntry(hdr *tar.Header) error {
	if strings.ContainsRune(hdr.Name, 0) {
		return errors.New("the name contains a NUL byte")
	}
	for part := range strings.SplitSeq(hdr.Name, "/") {
		if len(part) > maxComponent {
			return fmt.Errorf("a component of the name is longer than %d bytes", maxComponent)
		}
	}
	clean := path.Clean("/" + hdr.Name)
	name, whiteout := strings.CutPrefix(path.Base(clean), whiteoutPrefix)
	switch {
	case clean == "/" && hdr.Typeflag != tar.TypeDir:
		return errors.New("the root can only be a directory")
	case whiteout && (name == "" || name == "." || name == ".."):
		return errors.New("the whiteout names no file")
	case hdr.Uid < 0 || hdr.Uid > idmap.MaxID || hdr.Gid < 0 || hdr.Gid > idmap.MaxID:
		return fmt.Errorf("owner %d:%d is not from 0 to %d", hdr.Uid, hdr.Gid, uint32(idmap.MaxID))
	}
	switch hdr.Typeflag {
	case tar.TypeReg, '\x00', tar.TypeLink, tar.TypeSymlink, tar.TypeDir, tar.TypeFifo, tar.TypeCont, tar.TypeGNUSparse:
		return nil
	case tar.TypeChar, tar.TypeBlock:
		if hdr.Devmajor < 0 || hdr.Devmajor > maxMajor || hdr.Devminor < 0 || hdr.Devminor > maxMinor {
			return fmt.Errorf("device number %d:%d is out of range", hdr.Devmajor, hdr.Devminor)
		}
		return nil
	default:
		return fmt.Errorf("unknown type flag %q", hdr.Typeflag)
	}
}
