package durable

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// dirPrefix begins the names of temporary directories. Those with other
// prefixes have sweepers of their own.
const dirPrefix = TempPrefix + "dir-"

// TempDir is a directory of plain files on its way to its name, or whose files
// are on the way to theirs. It is locked while it is open, which tells
// SweepDirs that its maker lives.
type TempDir struct {
	Path string
	lock *os.File
}

// MakeTempDir makes a directory in parent, and removes those of dead makers.
func MakeTempDir(parent string, mode fs.FileMode) (*TempDir, error) {
	SweepDirs(parent)
	for {
		path := filepath.Join(parent, dirPrefix+rand.Text())
		if err := os.Mkdir(path, mode); err != nil {
			return nil, err
		}
		lock, err := lockTempDir(path)
		switch {
		case err != nil:
			return nil, errors.Join(err, ignoreMissing(os.Remove(path)))
		case lock != nil:
			return &TempDir{Path: path, lock: lock}, nil
		}
	}
}

// lockTempDir locks a directory that was just made; nil when a sweep came
// between, and is removing it or has done so.
func lockTempDir(path string) (*os.File, error) {
	f, err := openDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // swept
	}
	if err != nil {
		return nil, err
	}
	switch err := tryLock(f); {
	case errors.Is(err, unix.EWOULDBLOCK), err == nil && !isAt(f, path):
		return nil, f.Close()
	case err != nil && !errors.Is(err, unix.ENOTSUP):
		return nil, errors.Join(&fs.PathError{Op: "lock", Path: path, Err: err}, f.Close())
	}
	return f, nil
}

// Publish gives the directory the name path, where nothing or an empty
// directory is. The caller syncs the files before, and the parent afterwards.
func (d *TempDir) Publish(path string) error {
	// os.Rename would refuse an empty directory, too.
	if err := unix.Rename(d.Path, path); err != nil {
		return &os.LinkError{Op: "rename", Old: d.Path, New: path, Err: err}
	}
	err := d.lock.Close()
	d.lock = nil
	return err
}

// Drop removes the directory, unless it was published. It may be called again,
// and on nil, and then does nothing.
func (d *TempDir) Drop() error {
	if d == nil || d.lock == nil {
		return nil
	}
	err := errors.Join(removeFiles(d.Path), d.lock.Close())
	d.lock = nil
	return err
}

// SweepDirs removes the temporary directories in parent whose makers are dead.
// It reports no error: the next maker tries again.
func SweepDirs(parent string) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), dirPrefix) && e.IsDir() {
			removeAbandonedDir(filepath.Join(parent, e.Name()))
		}
	}
}

func removeAbandonedDir(path string) {
	f, err := openDir(path)
	if err != nil {
		return
	}
	defer f.Close()
	if tryLock(f) == nil && isAt(f, path) {
		_ = removeFiles(path)
	}
}

// removeFiles removes a directory that has no others below it but empty ones.
func removeFiles(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ignoreMissing(err)
	}
	for _, e := range entries {
		err = errors.Join(err, ignoreMissing(os.Remove(filepath.Join(dir, e.Name()))))
	}
	return errors.Join(err, ignoreMissing(os.Remove(dir)))
}

func openDir(path string) (*os.File, error) {
	// os.Open would try to wait for the directory in epoll first.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// isAt reports whether the open file has the name path still.
func isAt(f *os.File, path string) bool {
	ours, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(path)
	return err == nil && os.SameFile(ours, there)
}

// tryLock takes the exclusive lock if nobody has it.
func tryLock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
