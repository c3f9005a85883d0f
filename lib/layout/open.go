package layout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/strictjson"
)

// Bounds of what is read whole (image-spec asks registries for at least 4 MiB
// of manifest).
const (
	// MaxDocument is the greatest manifest, index, config or index.json.
	MaxDocument = 4 << 20
	maxMarker   = 4 << 10
	// MaxLayers is the greatest number of layers of an image.
	MaxLayers = 4096
)

const (
	indexFile  = "index.json"
	markerFile = "oci-layout"
	blobsDir   = "blobs"
)

// Layout is an OCI image layout on disk. It may be used from many goroutines.
type Layout struct {
	dir   string
	blobs string
	// cache may be nil.
	cache *IndexCache
}

// Option changes how a layout is opened.
type Option func(*Layout)

// SharedBlobs has blobs read from and written to dir/ALGORITHM/HEX, which
// several layouts share, in place of the layout's own blobs directory.
func SharedBlobs(dir string) Option {
	return func(l *Layout) { l.blobs = dir }
}

// Open opens the layout in dir, which must have a valid oci-layout file.
func Open(dir string, options ...Option) (*Layout, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open layout %s: %w", dir, err)
	}
	l := &Layout{dir: abs, blobs: filepath.Join(abs, blobsDir)}
	for _, o := range options {
		o(l)
	}
	switch info, err := os.Stat(abs); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fault.Hint(fault.NotFound("layout %s does not exist", abs), "make it with: oci-copy docker://IMAGE %s", explain.Quote("oci:"+dir+":TAG"))
	case err != nil:
		return nil, fmt.Errorf("open layout: %w", err)
	case !info.IsDir():
		return nil, fault.NotFound("layout %s is not a directory", abs)
	}
	return l, l.checkMarker()
}

// Dir is the absolute path of the layout.
func (l *Layout) Dir() string { return l.dir }

// checkMarker reads the file oci-layout (image-layout.md): any 1.0.x will do.
func (l *Layout) checkMarker() error {
	path := filepath.Join(l.dir, markerFile)
	data, err := readRegular(path, maxMarker)
	if errors.Is(err, fs.ErrNotExist) {
		return fault.Hint(fault.NotFound("%s is not an OCI layout: it has no file %s", l.dir, markerFile),
			"a layout has oci-layout, index.json and blobs/; is the directory the right one?")
	}
	if err != nil {
		return err
	}
	var marker ispec.ImageLayout
	if err := strictjson.Decode(data, &marker); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if !strings.HasPrefix(marker.Version, "1.0.") {
		return fault.Refused("%s: unknown imageLayoutVersion %.40q", path, marker.Version)
	}
	return nil
}

// Index reads index.json. With a cache the annotations of its descriptors are
// shared with other callers, and must not be changed.
func (l *Layout) Index(ctx context.Context) (*ispec.Index, error) {
	data, err := l.indexBytes()
	if err != nil {
		return nil, err
	}
	if l.cache == nil {
		index, err := decodeIndex(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(l.dir, indexFile), err)
		}
		return index, ctx.Err()
	}
	s, err := l.snapshot(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(l.dir, indexFile), err)
	}
	index := s.index
	index.Manifests = s.manifests()
	return &index, ctx.Err()
}

func (l *Layout) indexBytes() ([]byte, error) {
	data, err := readRegular(filepath.Join(l.dir, indexFile), MaxDocument)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.NotFound("layout %s has no %s", l.dir, indexFile)
	}
	return data, err
}

// readRegular reads a regular file of at most limit bytes. It neither follows
// a link in the last component nor blocks on a fifo nor opens a device's data.
func readRegular(path string, limit int64) ([]byte, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(data)) > limit {
		return nil, fault.Refused("%s is larger than %d bytes", path, limit)
	}
	return data, nil
}

// openRegular opens path for reading when it is a regular file. The O_PATH
// handle comes first, since opening a device can have effects of its own. What
// is read is what the handle is of: another writer of the same blob may replace
// the name in between.
func openRegular(path string) (*os.File, error) {
	handle, err := openat(unix.AT_FDCWD, path, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(handle)
	var st unix.Stat_t
	if err := unix.Fstat(handle, &st); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fault.Refused("%s is not a regular file but %s", path, kindOf(st.Mode))
	}
	fd, err := openat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(handle), unix.O_RDONLY)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// openat opens with O_CLOEXEC and again after EINTR.
func openat(dirfd int, path string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dirfd, path, flags|unix.O_CLOEXEC, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

func kindOf(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return "a directory"
	case unix.S_IFLNK:
		return "a symbolic link"
	case unix.S_IFIFO:
		return "a fifo"
	case unix.S_IFCHR, unix.S_IFBLK:
		return "a device"
	default:
		return "a socket"
	}
}
