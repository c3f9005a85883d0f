package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/types"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
)

// dirSource reads the directory of the transport dir. The library's own source
// below it reads the manifests, and one blob at a time; here blobs are files
// like any, which the kernel copies side by side. It gives no signatures, so
// that a directory with some is left to the library.
type dirSource struct {
	types.ImageSource
	dir string
}

func (j *job) unsignedDir() types.ImageSource {
	if j.src.transport != "dir" || j.mayBeSigned() {
		return j.source
	}
	return &dirSource{j.source, j.src.name}
}

// HasThreadSafeGetBlob is true: they are files.
func (s *dirSource) HasThreadSafeGetBlob() bool { return true }

// openBlob is part of blobSource.
func (s *dirSource) openBlob(ctx context.Context, desc ispec.Descriptor) (io.ReadCloser, error) {
	f, err := s.open(desc)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{newVerifier(&contextReader{ctx, f}, desc), f}, nil
}

// openSection is part of sectionSource: a blob is a whole file.
func (s *dirSource) openSection(desc ispec.Descriptor) (*os.File, int64, error) {
	f, err := s.open(desc)
	return f, 0, err
}

// open opens a blob that has the size of its descriptor, unverified.
func (s *dirSource) open(desc ispec.Descriptor) (*os.File, error) {
	if err := layout.CheckDigest(desc.Digest); err != nil {
		return nil, err
	}
	name, _ := blobFile(desc.Digest)
	path := filepath.Join(s.dir, name)
	// A stranger's fifo or device would block or do harm.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.NotFound("blob %s is not in the directory %s", desc.Digest, s.dir)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
		err = fmt.Errorf("blob %s: %w", path, err)
	case !info.Mode().IsRegular():
		err = fault.Refused("blob %s is not a regular file", path)
	case info.Size() != desc.Size:
		err = fault.Refused("blob %s has %d bytes, its descriptor says %d", path, info.Size(), desc.Size)
	default:
		return f, nil
	}
	return nil, errors.Join(err, f.Close())
}
