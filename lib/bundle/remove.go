package bundle

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/durable"
)

// maxRemoveDepth is how deep RemoveAll follows directories before it moves
// what is below to the top: descriptors and stack stay bounded for a tree of
// any depth.
const maxRemoveDepth = 64

// Remove removes the bundle. What tells that it is one goes last, and nothing
// is read after that: a removal that is killed, or fails anywhere, leaves a
// bundle or an empty directory (see Emptied), and can be begun again.
func (b *Bundle) Remove() error {
	entries, err := os.ReadDir(b.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove bundle: %w", err)
	}
	for _, e := range entries {
		if e.Name() == StateFile || e.Name() == ConfigFile {
			continue
		}
		if err := RemoveAll(filepath.Join(b.Dir, e.Name())); err != nil {
			return err
		}
	}
	for _, name := range []string{ConfigFile, StateFile} {
		if err := RemoveAll(filepath.Join(b.Dir, name)); err != nil {
			return err
		}
	}
	return b.RemoveEmptied()
}

// Emptied reports whether the directory is there and empty, which is what a
// removal leaves that was cut before its last step.
func (b *Bundle) Emptied() bool {
	entries, err := os.ReadDir(b.Dir)
	return err == nil && len(entries) == 0
}

// RemoveEmptied takes the last step of a removal. A directory that another
// process has put something into meanwhile is an error.
func (b *Bundle) RemoveEmptied() error {
	if err := unix.Unlinkat(unix.AT_FDCWD, b.Dir, unix.AT_REMOVEDIR); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove bundle: %w", &fs.PathError{Op: "rmdir", Path: b.Dir, Err: err})
	}
	return nil
}

// RemoveAll removes the tree at path, which an attacker may have filled and
// may be changing: it follows no link, and does not cross into another file
// system, so that something mounted in the tree fails it with EBUSY or EXDEV
// rather than being emptied. What is not there is no error.
func RemoveAll(path string) error {
	parent, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return &fs.PathError{Op: "open", Path: filepath.Dir(path), Err: err}
	}
	defer unix.Close(parent)
	if err := removeAt(parent, filepath.Base(path)); err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return nil
}

func removeAt(parent int, name string) error {
	if done, err := removeShallow(parent, name); done {
		return err
	}
	top, err := openDir(parent, name)
	if err != nil {
		return err
	}
	defer top.Close()
	r := remover{top: int(top.Fd())}
	var st unix.Stat_t
	if err := unix.Fstat(r.top, &st); err != nil {
		return err
	}
	r.dev = st.Dev
	// Each pass empties the top but for what was moved up to it.
	for again := true; again; {
		r.moved = 0
		if err := r.empty(top, 0); err != nil {
			return err
		}
		again = r.moved > 0
	}
	return unix.Unlinkat(parent, name, unix.AT_REMOVEDIR)
}

// removeShallow removes what one call can remove: anything but a directory that
// is not empty. It finds out, too, whether something is mounted on one: opening
// that would lead into the mount, and what is in there belongs to others.
func removeShallow(parent int, name string) (done bool, err error) {
	err = unix.Unlinkat(parent, name, 0)
	switch {
	case err == nil, errors.Is(err, unix.ENOENT):
		return true, nil
	case !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM):
		return true, err
	}
	err = unix.Unlinkat(parent, name, unix.AT_REMOVEDIR)
	return err == nil || errors.Is(err, unix.EBUSY), err
}

type remover struct {
	top   int
	dev   uint64
	moved int
	names int
}

// empty removes all entries of the directory.
func (r *remover) empty(dir *os.File, depth int) error {
	if _, err := dir.Seek(0, 0); err != nil {
		return err
	}
	for {
		names, err := dir.Readdirnames(512)
		for _, name := range names {
			if err := r.entry(int(dir.Fd()), name, depth); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *remover) entry(parent int, name string, depth int) error {
	if done, err := removeShallow(parent, name); done {
		return err
	}
	if depth >= maxRemoveDepth {
		return r.moveUp(parent, name)
	}
	dir, err := openDir(parent, name)
	if err != nil {
		return err
	}
	defer dir.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return err
	}
	if st.Dev != r.dev {
		return unix.EXDEV
	}
	// A file system may pass over names while others are removed.
	for try := 0; ; try++ {
		if err := r.empty(dir, depth+1); err != nil {
			return err
		}
		err := unix.Unlinkat(parent, name, unix.AT_REMOVEDIR)
		if !errors.Is(err, unix.ENOTEMPTY) || try == 3 {
			return err
		}
	}
}

// moveUp moves a directory to the top, under a name that is not taken.
func (r *remover) moveUp(parent int, name string) error {
	for {
		r.names++
		err := unix.Renameat2(parent, name, r.top, durable.TempPrefix+"deep-"+strconv.Itoa(r.names), unix.RENAME_NOREPLACE)
		if err == nil {
			r.moved++
			return nil
		}
		if !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
}

// openDir opens a directory for reading its names. One that its owner may not
// enter (an image may hold directories of mode 0) is opened up first.
func openDir(parent int, name string) (*os.File, error) {
	const flags = unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	handle, err := unix.Openat(parent, name, unix.O_PATH|flags, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(handle)
	self := "/proc/self/fd/" + strconv.Itoa(handle)
	if os.Geteuid() != 0 {
		// The handle is a directory, so that this cannot follow a link.
		if err := unix.Chmod(self, 0o700); err != nil {
			return nil, &fs.PathError{Op: "chmod", Path: name, Err: err}
		}
	}
	fd, err := unix.Openat(handle, ".", unix.O_RDONLY|flags, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}
