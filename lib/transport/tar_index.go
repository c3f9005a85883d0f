package transport

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"go.podman.io/image/v5/pkg/compression"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
	"github.com/oci-plumbing/oci-plumbing/lib/pipe"
)

// tarIndex knows where in a tar archive each file lies. Only headers are read;
// bodies are served from where they are.
type tarIndex struct {
	file    *os.File
	entries map[string]tarEntry
}

// tarEntry is a regular file of an archive, or a link to one.
type tarEntry struct {
	offset, size int64
	link         string
}

// maxEntries bounds the names that are kept of an archive.
const maxEntries = 1 << 18

// openArchive opens the archive at name. Standard input ("-"), pipes and
// compressed archives are spooled to a file without a name first: an archive
// is read in the order of its index, which may come last.
func (c *Copier) openArchive(ctx context.Context, name string) (*tarIndex, error) {
	f, stream, err := c.archiveFile(ctx, name)
	if err != nil {
		return nil, err
	}
	if stream != nil {
		spooled, err := c.spoolArchive(ctx, stream)
		if f != nil {
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			return nil, fmt.Errorf("archive %s: %w", name, err)
		}
		f = spooled
	}
	index, err := indexTar(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("archive %s: %w", name, err), f.Close())
	}
	return index, nil
}

// archiveFile returns a file that can be read at any offset, or a stream to
// spool.
func (c *Copier) archiveFile(ctx context.Context, name string) (*os.File, io.Reader, error) {
	if name == "-" {
		if c.options.Stdin == nil {
			return nil, nil, fault.Usage("there is no standard input to read an archive from")
		}
		if f, ok := c.options.Stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			return nil, nil, fault.Hint(fault.Usage("an archive is not read from a terminal"), "redirect it: oci-copy oci-archive:- DST <FILE")
		}
		return nil, c.options.Stdin, nil
	}
	f, err := pipe.Open(ctx, name, os.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return nil, nil, fmt.Errorf("open archive: %w", err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fault.Usage("%s is a directory, not an archive", name)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	if !info.Mode().IsRegular() {
		return f, f, nil
	}
	magic := make([]byte, 6)
	n, err := f.ReadAt(magic, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, errors.Join(fmt.Errorf("read archive: %w", err), f.Close())
	}
	if compressed(magic[:n]) {
		return f, f, nil
	}
	return f, nil, nil
}

// compressed knows gzip, zstd, xz and bzip2 by their first bytes.
func compressed(magic []byte) bool {
	for _, m := range []string{"\x1f\x8b", "\x28\xb5\x2f\xfd", "\xfd7zXZ\x00", "BZh"} {
		if strings.HasPrefix(string(magic), m) {
			return true
		}
	}
	return false
}

func (c *Copier) spoolArchive(ctx context.Context, stream io.Reader) (*os.File, error) {
	f, err := unnamedFile(c.options.tempDir())
	if err != nil {
		return nil, err
	}
	plain, _, err := compression.AutoDecompress(pipe.Input(ctx, stream))
	if err == nil {
		err = errors.Join(copyTo(f, plain), plain.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("spool: %w", err), f.Close())
	}
	return f, nil
}

// contextReader ends a stream when its context does.
type contextReader struct {
	ctx context.Context //nolint:containedctx // of the one stream
	io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// indexTar reads the headers of a tar file.
func indexTar(f *os.File) (*tarIndex, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	section := io.NewSectionReader(f, 0, info.Size())
	index := &tarIndex{file: f, entries: make(map[string]tarEntry)}
	for r := tar.NewReader(section); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return index, nil
		}
		if err != nil {
			return nil, fault.As(fault.ErrRefused, fmt.Errorf("malformed tar: %w", err))
		}
		at, err := section.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		name := inArchive(header.Name)
		switch header.Typeflag {
		case tar.TypeReg:
			if header.Size > info.Size()-at {
				return nil, fault.Refused("%.100q in the archive has %d bytes, only %d are left", name, header.Size, info.Size()-at)
			}
			index.entries[name] = tarEntry{offset: at, size: header.Size}
		case tar.TypeSymlink:
			index.entries[name] = tarEntry{link: inArchive(path.Join(path.Dir(name), header.Linkname))}
		case tar.TypeLink:
			index.entries[name] = tarEntry{link: inArchive(header.Linkname)}
		}
		if len(index.entries) > maxEntries {
			return nil, fault.Refused("the archive has more than %d files", maxEntries)
		}
	}
}

// inArchive is the name without what leads out of the archive.
func inArchive(name string) string { return path.Clean("/" + name)[1:] }

// find returns the regular file of a name. Older docker save made a layer that
// occurs twice a symbolic link.
func (t *tarIndex) find(name string) (tarEntry, bool) {
	const maxLinks = 8
	for range maxLinks {
		entry, ok := t.entries[name]
		if !ok || entry.link == "" {
			return entry, ok
		}
		name = entry.link
	}
	return tarEntry{}, false
}

// document reads a small file whole.
func (t *tarIndex) document(name string) ([]byte, error) {
	entry, ok := t.find(name)
	if !ok {
		return nil, fault.NotFound("the archive has no %s", name)
	}
	if entry.size > layout.MaxDocument {
		return nil, fault.Refused("%s in the archive has %d bytes, more than %d", name, entry.size, layout.MaxDocument)
	}
	data := make([]byte, entry.size)
	if _, err := t.file.ReadAt(data, entry.offset); err != nil {
		return nil, fmt.Errorf("read %s in the archive: %w", name, err)
	}
	return data, nil
}

// dup returns another descriptor of the file, for one reader to close.
func (t *tarIndex) dup() (*os.File, error) {
	fd, err := unix.FcntlInt(t.file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("duplicate a file descriptor: %w", err)
	}
	return os.NewFile(uintptr(fd), t.file.Name()), nil
}
