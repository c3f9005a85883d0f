package run

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// maxLinks is the kernel's bound on symlinks in one path.
const maxLinks = 40

// tree looks at paths inside a root file system as its container will, but
// without following any of its symlinks in the kernel: each component is
// opened with O_NOFOLLOW, each link is read and followed here, and ".." stops
// at the root. It never opens a file for reading on the way.
type tree struct {
	root *os.File
}

func openTree(rootfs string) (*tree, error) {
	fd, err := unix.Open(rootfs, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", rootfs, err)
	}
	return &tree{root: os.NewFile(uintptr(fd), rootfs)}, nil
}

func (t *tree) Close() error { return t.root.Close() }

// place is where a path leads.
type place struct {
	// path is the path without symlinks, absolute within the root.
	path string
	// missing tells that it does not exist; path then ends with the
	// components that are not there.
	missing bool
	// links tells how many symlinks were followed.
	links int
	// touched are the absolute targets and directories on the way that lie
	// below /proc: in the container they are magic.
	throughProc bool
	stat        unix.Stat_t
}

func (p place) isDir() bool { return p.stat.Mode&unix.S_IFMT == unix.S_IFDIR }

// walk follows name to its end.
func (t *tree) walk(name string) (place, error) {
	var (
		p    place
		done []string
		todo = components(name)
	)
	dir := int(t.root.Fd())
	stack := []int{dir}
	defer func() { closeAll(stack[1:]) }()
	for len(todo) > 0 {
		next := todo[0]
		todo = todo[1:]
		if next == ".." {
			if len(done) > 0 {
				done = done[:len(done)-1]
				closeAll(stack[len(stack)-1:])
				stack = stack[:len(stack)-1]
			}
			continue
		}
		if len(done) == 0 && next == "proc" {
			p.throughProc = true
		}
		fd, err := unix.Openat(stack[len(stack)-1], next, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.ENOENT) {
			p.missing = true
			p.path = path.Join("/", path.Join(append(append(done, next), todo...)...))
			return p, nil
		}
		if err != nil {
			return p, fmt.Errorf("look at %s in the root file system: %w", path.Join("/", path.Join(append(done, next)...)), err)
		}
		if err := unix.Fstat(fd, &p.stat); err != nil {
			closeAll([]int{fd})
			return p, fmt.Errorf("look at %s in the root file system: %w", name, err)
		}
		if p.stat.Mode&unix.S_IFMT != unix.S_IFLNK {
			stack, done = append(stack, fd), append(done, next)
			continue
		}
		target, err := readlink(fd)
		closeAll([]int{fd})
		if err != nil {
			return p, fmt.Errorf("look at %s in the root file system: %w", name, err)
		}
		p.links++
		if p.links > maxLinks {
			return p, fault.Refused("%s in the root file system: too many symlinks", name)
		}
		if strings.HasPrefix(target, "/") {
			closeAll(stack[1:])
			stack, done = stack[:1], nil
		}
		todo = append(components(target), todo...)
	}
	if err := unix.Fstat(stack[len(stack)-1], &p.stat); err != nil {
		return p, fmt.Errorf("look at %s in the root file system: %w", name, err)
	}
	p.path = path.Join("/", path.Join(done...))
	return p, nil
}

// components splits a path and drops what means nothing.
func components(name string) []string {
	var out []string
	for c := range strings.SplitSeq(name, "/") {
		if c != "" && c != "." {
			out = append(out, c)
		}
	}
	return out
}

func readlink(fd int) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", buf)
	return string(buf[:max(n, 0)]), err
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// head reads the first bytes of the regular file at a place that walk found;
// false when it may not be read.
func (t *tree) head(p place, most int) ([]byte, bool) {
	how := unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	}
	fd, err := unix.Openat2(int(t.root.Fd()), strings.TrimPrefix(p.path, "/"), &how)
	if err != nil {
		return nil, false
	}
	defer unix.Close(fd)
	buf := make([]byte, most)
	n, err := unix.Pread(fd, buf, 0)
	return buf[:max(n, 0)], err == nil
}

// below reports whether name is dir or lies in it; both are clean.
func below(name, dir string) bool {
	return dir == "/" || name == dir || strings.HasPrefix(name, dir+"/")
}
