package spec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	pathrs "github.com/cyphar/filepath-securejoin/pathrs-lite"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// Rootfs is the tree of an image. Paths are resolved inside it, as after a
// chroot: an absolute link or too many dots lead to its top, never to the
// host (CVE-2019-14271, CVE-2022-4318).
type Rootfs struct {
	path string
	dir  *os.File
}

// OpenRootfs opens the directory.
func OpenRootfs(dir string) (*Rootfs, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.NotFound("open rootfs %s: %w", dir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open rootfs %s: %w", dir, err)
	}
	return &Rootfs{path: dir, dir: os.NewFile(uintptr(fd), dir)}, nil
}

// Path is the path that OpenRootfs got.
func (r *Rootfs) Path() string { return r.path }

// Close closes the directory.
func (r *Rootfs) Close() error { return r.dir.Close() }

// openFile opens a regular file for reading. The handle is O_PATH until its
// type is known: opening a FIFO blocks, opening a device may act.
func (r *Rootfs) openFile(name string) (*os.File, error) {
	handle, err := pathrs.OpenatInRoot(r.dir, name)
	if err != nil {
		return nil, fmt.Errorf("open %s in the rootfs: %w", name, err)
	}
	defer handle.Close()
	info, err := handle.Stat()
	if err != nil {
		return nil, fmt.Errorf("stat %s in the rootfs: %w", name, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fault.Refused("%s in the rootfs is %s, not a regular file", name, describeMode(info.Mode()))
	}
	file, err := pathrs.Reopen(handle, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("open %s in the rootfs: %w", name, err)
	}
	return file, nil
}

// stat follows links inside the rootfs.
func (r *Rootfs) stat(name string) (*unix.Stat_t, error) {
	handle, err := pathrs.OpenatInRoot(r.dir, name)
	if err != nil {
		return nil, fmt.Errorf("open %s in the rootfs: %w", name, err)
	}
	defer handle.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(handle.Fd()), &st); err != nil {
		return nil, fmt.Errorf("stat %s in the rootfs: %w", name, err)
	}
	return &st, nil
}

func describeMode(mode fs.FileMode) string {
	switch mode.Type() {
	case 0:
		return "a regular file"
	case fs.ModeDir:
		return "a directory"
	case fs.ModeNamedPipe:
		return "a FIFO"
	case fs.ModeSocket:
		return "a socket"
	case fs.ModeSymlink:
		return "a symbolic link"
	default:
		return "a device"
	}
}

// follow returns where the path leads inside the rootfs, links followed, as
// far as it exists; what is missing is appended as it stands. The result is
// for a judgement, never for opening.
func (r *Rootfs) follow(name string) string {
	const maxLinks = 40
	todo := strings.Split(name, "/")
	at := "/"
	for links := 0; len(todo) > 0; {
		next := todo[0]
		todo = todo[1:]
		switch next {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		target, ok := r.readlink(at, next)
		if !ok || links == maxLinks {
			at = path.Join(at, next)
			continue
		}
		links++
		if path.IsAbs(target) {
			at = "/"
		}
		todo = append(strings.Split(target, "/"), todo...)
	}
	return at
}

func (r *Rootfs) readlink(dir, name string) (string, bool) {
	handle, err := pathrs.OpenatInRoot(r.dir, dir)
	if err != nil {
		return "", false
	}
	defer handle.Close()
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(handle.Fd()), name, target)
	if err != nil {
		return "", false
	}
	return string(target[:n]), true
}
