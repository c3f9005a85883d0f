package changeset

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// maxOpen bounds the directories held open at a time. A tree of 10,000 levels
// must not need 10,000 descriptors.
const maxOpen = 32

// maxDepth bounds the levels of a tree (security: a hostile rootfs).
const maxDepth = 16384

// directory is one level of a walk, held by a descriptor. The descriptors of
// far ancestors are closed on the way down, and opened again on the way up.
type directory struct {
	parent   *directory
	name     string
	fd       int
	dev, ino uint64
	depth    int
	// perm is the mode to go back to when the directory is left, and its
	// owner had to grant himself the rights to look into it.
	perm uint32
	wide bool
	// widenings are those of all files of the tree.
	widenings widenings
}

// openRoot opens the top of a walk. The path is the caller's own and may lead
// through links.
func openRoot(path string) (*directory, error) {
	fd, err := retry(func() (int, error) {
		return unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		err = &fs.PathError{Op: "open", Path: path, Err: err}
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
			return nil, fault.As(fault.ErrNotFound, err)
		}
		return nil, err
	}
	st, err := statAt(fd, "")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), unix.Close(fd))
	}
	return &directory{fd: fd, dev: st.Dev, ino: st.Ino, widenings: make(widenings)}, nil
}

// enter opens the subdirectory name, which must still be the inode that want
// describes.
func (d *directory) enter(name string, want *Stat) (*directory, error) {
	if d.depth >= maxDepth {
		return nil, fault.Refused("%s: deeper than %d levels", clip(d.path()), maxDepth)
	}
	fd, err := openDirAt(d.fd, name)
	if err != nil {
		return nil, d.changed(name, fmt.Errorf("open: %w", err))
	}
	st, err := statAt(fd, "")
	if err != nil || st.Dev != want.Dev || st.Ino != want.Ino {
		return nil, errors.Join(d.changed(name, err), unix.Close(fd))
	}
	child := &directory{parent: d, name: name, fd: fd, dev: st.Dev, ino: st.Ino, depth: d.depth + 1, widenings: d.widenings}
	if err := child.widen(&st); err != nil {
		return nil, errors.Join(d.changed(name, err), unix.Close(fd))
	}
	return child, child.closeAncestor()
}

// widen gives the owner the rights to look at the entries while the directory
// is open, which root has anyway: an image may have directories of mode 0000.
func (d *directory) widen(st *Stat) error {
	const need = 0o500
	if st.Perm()&need == need || os.Geteuid() == 0 || st.UID != uint32(os.Geteuid()) {
		return nil
	}
	d.perm, d.wide = st.Perm(), true
	return unix.Fchmod(d.fd, st.Perm()|need)
}

// closeAncestor closes the descriptor maxOpen levels above, but not the top's.
func (d *directory) closeAncestor() error {
	a := d
	for range maxOpen {
		if a = a.parent; a == nil {
			return nil
		}
	}
	if a.parent == nil || a.fd < 0 {
		return nil
	}
	fd := a.fd
	a.fd = -1
	if err := unix.Close(fd); err != nil {
		return fmt.Errorf("close %s: %w", a.path(), err)
	}
	return nil
}

// leave closes the directory, and opens its parent again when that is needed.
// The way up is "..", which a rename may have changed: so the inode decides.
func (d *directory) leave() error {
	var err error
	if p := d.parent; p != nil && p.fd < 0 {
		err = p.reopen(d.fd)
	}
	if d.fd >= 0 {
		if d.wide {
			err = errors.Join(err, unix.Fchmod(d.fd, d.perm))
		}
		err = errors.Join(err, unix.Close(d.fd))
		d.fd = -1
	}
	return err
}

func (d *directory) reopen(child int) error {
	fd, err := openDirAt(child, "..")
	if err != nil {
		return fmt.Errorf("open %s again: %w", d.path(), err)
	}
	st, err := statAt(fd, "")
	if err != nil || st.Dev != d.dev || st.Ino != d.ino {
		return errors.Join(fault.Temporary("%s was moved while it was read", d.path()), err, unix.Close(fd))
	}
	d.fd = fd
	return nil
}

// names lists the directory, sorted bytewise.
func (d *directory) names() ([]string, error) {
	fd, err := openDirAt(d.fd, ".")
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", d.path(), err)
	}
	f := os.NewFile(uintptr(fd), d.name)
	names, err := f.Readdirnames(-1)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read directory %s: %w", d.path(), err)
	}
	slices.Sort(names)
	return names, nil
}

// path is the directory's path from the top, for messages; "." is the top.
func (d *directory) path() string {
	if d.parent == nil {
		return "."
	}
	return d.join("")
}

// join is the path of a name in the directory. A walk over a deep tree must
// not build it for every entry: that is quadratic.
func (d *directory) join(name string) string {
	size := len(name)
	for a := d; a.parent != nil; a = a.parent {
		size += len(a.name) + 1
	}
	if name == "" {
		size--
	}
	path := make([]byte, size)
	at := size - len(name)
	copy(path[at:], name)
	for a := d; a.parent != nil; a = a.parent {
		if at != size || name != "" {
			at--
			path[at] = '/'
		}
		at -= len(a.name)
		copy(path[at:], a.name)
	}
	return string(path)
}

// changed is the error for a name that is not what the walk saw before.
func (d *directory) changed(name string, cause error) error {
	path := clip(d.join(name))
	if cause == nil || errors.Is(cause, unix.ENOENT) || errors.Is(cause, unix.ENOTDIR) || errors.Is(cause, unix.ELOOP) ||
		errors.Is(cause, unix.EINVAL) { // the last one from reading a link that is none any more
		return fault.Hint(fault.Temporary("%s changed while it was read", path), "stop what writes to the rootfs, and try again")
	}
	return fmt.Errorf("%s: %w", path, cause)
}

// openDirAt opens a directory for reading, not through a link. Its owner may
// lack the right to read it (mode 0000 in an image, and no root): then the
// mode is widened for the moment of opening.
func openDirAt(dirfd int, name string) (int, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	open := func() (int, error) { return unix.Openat(dirfd, name, flags, 0) }
	fd, err := retry(open)
	if !errors.Is(err, unix.EACCES) {
		return fd, err
	}
	handle, err := retry(func() (int, error) {
		return unix.Openat(dirfd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return -1, err
	}
	defer unix.Close(handle)
	return widened(handle, 0o700, open)
}

// retry calls again after EINTR.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// clip shortens a path in a message.
func clip(path string) string {
	const most = 300
	if len(path) > most {
		return path[:most] + "..."
	}
	return path
}
