package spec

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	pathrs "github.com/cyphar/filepath-securejoin/pathrs-lite"
	"golang.org/x/sys/unix"
)

// CopyUp fills the directory c.To with what lies at c.From, as an engine fills
// a new volume: names, contents, modes, owners, times and links, but no
// devices. A directory that is there already and is not empty stays as it is.
// Every step below the two directories takes one component and follows no
// link. What undo takes back is what was made, also by a call that failed.
func (r *Rootfs) CopyUp(c CopyUp) (undo func() error, err error) {
	made, err := makeDirs(filepath.Dir(c.To))
	undo = func() error { return removeDirs(made) }
	if err != nil {
		return undo, fmt.Errorf("make the volume %s: %w", c.To, err)
	}
	err = os.Mkdir(c.To, 0o755)
	switch {
	case err == nil:
		undo = func() error { return errors.Join(os.RemoveAll(c.To), removeDirs(made)) }
	case errors.Is(err, fs.ErrExist):
		entries, err := os.ReadDir(c.To)
		if err != nil || len(entries) > 0 {
			return undo, err
		}
		if undo, err = emptyAgain(c.To); err != nil {
			return undo, err
		}
	default:
		return undo, fmt.Errorf("make the volume %s: %w", c.To, err)
	}
	return undo, r.fill(c)
}

// makeDirs makes the directory and those above it, and returns those that it
// made, the outermost first.
func makeDirs(dir string) (made []string, err error) {
	var missing []string
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Lstat(at); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		missing = append(missing, at)
	}
	for _, at := range slices.Backward(missing) {
		err := os.Mkdir(at, 0o755)
		switch {
		case err == nil:
			made = append(made, at)
		case !errors.Is(err, fs.ErrExist):
			return made, err
		}
	}
	return made, nil
}

// removeDirs takes back makeDirs; what somebody has put something into stays.
func removeDirs(made []string) error {
	for _, dir := range slices.Backward(made) {
		if err := os.Remove(dir); err != nil && !errors.Is(err, unix.ENOTEMPTY) {
			return err
		}
	}
	return nil
}

// emptyAgain returns what makes the directory what it is: empty, and of the
// same owner, mode and times.
func emptyAgain(dir string) (undo func() error, err error) {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return func() error { return nil }, &fs.PathError{Op: "stat", Path: dir, Err: err}
	}
	return func() error {
		entries, err := os.ReadDir(dir)
		for _, e := range entries {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
		if err != nil {
			return err
		}
		f, err := openDirAt(unix.AT_FDCWD, dir)
		if err != nil {
			return err
		}
		return errors.Join(keepMetadata(f, &st), f.Close())
	}, nil
}

// fill copies the directory of the rootfs, if there is one.
func (r *Rootfs) fill(c CopyUp) error {
	source, err := r.openDir(c.From)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := openDirAt(unix.AT_FDCWD, c.To)
	if err != nil {
		return fmt.Errorf("open the volume %s: %w", c.To, err)
	}
	defer target.Close()
	if err := copyDir(source, target, 0); err != nil {
		return fmt.Errorf("fill the volume %s: %w", c.To, err)
	}
	return nil
}

// Source is the path on this machine of what CopyUp copies, with no link below
// the rootfs; "" when there is nothing.
func (r *Rootfs) Source(c CopyUp) (string, error) {
	dir, err := r.openDir(c.From)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer dir.Close()
	source, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", dir.Fd()))
	if err != nil {
		return "", fmt.Errorf("find where %s lies: %w", c.From, err)
	}
	return source, nil
}

// openDir opens a directory of the rootfs.
func (r *Rootfs) openDir(name string) (*os.File, error) {
	handle, err := pathrs.OpenatInRoot(r.dir, name)
	if err != nil {
		return nil, fmt.Errorf("open %s in the rootfs: %w", name, err)
	}
	defer handle.Close()
	dir, err := pathrs.Reopen(handle, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, fmt.Errorf("open %s in the rootfs: %w", name, err)
	}
	return dir, nil
}

func openDirAt(dir int, name string) (*os.File, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// deepest bounds the nesting of what is copied, and so the descriptors open.
const deepest = 200

func copyDir(source, target *os.File, depth int) error {
	if depth > deepest {
		return fmt.Errorf("%s lies deeper than %d directories", source.Name(), deepest)
	}
	names, err := source.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := copyEntry(source, target, name, depth); err != nil {
			return err
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(source.Fd()), &st); err != nil {
		return err
	}
	return keepMetadata(target, &st)
}

func copyEntry(source, target *os.File, name string, depth int) error {
	from, to := int(source.Fd()), int(target.Fd())
	var st unix.Stat_t
	if err := unix.Fstatat(from, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		below, err := openDirAt(from, name)
		if err != nil {
			return err
		}
		defer below.Close()
		if err := unix.Mkdirat(to, name, 0o700); err != nil {
			return &fs.PathError{Op: "mkdir", Path: name, Err: err}
		}
		copied, err := openDirAt(to, name)
		if err != nil {
			return err
		}
		defer copied.Close()
		return copyDir(below, copied, depth+1)
	case unix.S_IFREG:
		return copyFile(from, to, name)
	case unix.S_IFLNK:
		text := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(from, name, text)
		if err != nil {
			return &fs.PathError{Op: "readlink", Path: name, Err: err}
		}
		if err := unix.Symlinkat(string(text[:n]), to, name); err != nil {
			return &fs.PathError{Op: "symlink", Path: name, Err: err}
		}
		return ignoreEPERM(unix.Fchownat(to, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW))
	default:
		return nil
	}
}

func copyFile(from, to int, name string) error {
	fd, err := unix.Openat(from, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: name, Err: err}
	}
	in := os.NewFile(uintptr(fd), name)
	defer in.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return fmt.Errorf("%s changed while it was copied: %w", name, err)
	}
	fd, err = unix.Openat(to, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &fs.PathError{Op: "create", Path: name, Err: err}
	}
	out := os.NewFile(uintptr(fd), name)
	_, err = io.Copy(out, in)
	if err == nil {
		err = keepMetadata(out, &st)
	}
	return errors.Join(err, out.Close())
}

// keepMetadata gives the copy the owner, the mode and the times. The owner
// comes first: chown clears the setuid bit.
func keepMetadata(f *os.File, st *unix.Stat_t) error {
	fd := int(f.Fd())
	if err := ignoreEPERM(unix.Fchown(fd, int(st.Uid), int(st.Gid))); err != nil {
		return &fs.PathError{Op: "chown", Path: f.Name(), Err: err}
	}
	if err := unix.Fchmod(fd, st.Mode&0o7777); err != nil {
		return &fs.PathError{Op: "chmod", Path: f.Name(), Err: err}
	}
	times := []unix.Timeval{unix.NsecToTimeval(st.Atim.Nano()), unix.NsecToTimeval(st.Mtim.Nano())}
	if err := unix.Futimes(fd, times); err != nil {
		return &fs.PathError{Op: "utimes", Path: f.Name(), Err: err}
	}
	return nil
}

// ignoreEPERM lets a caller without privileges keep its own ownership.
func ignoreEPERM(err error) error {
	if errors.Is(err, unix.EPERM) && os.Geteuid() != 0 {
		return nil
	}
	return err
}
