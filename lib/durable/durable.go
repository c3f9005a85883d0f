// Package durable makes files that are whole or absent, whatever kills their
// writer, and that survive a power cut.
//
// A file is written under a temporary name (or none), synced, renamed, and its
// directory synced. Temporary files are locked while their writer lives, so
// that the next writer can tell what is left of a dead one, and remove it.
package durable

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// TempPrefix begins the names of files and directories that are not whole.
const TempPrefix = ".oci-tmp-"

// SyncDir makes the names in the directory durable.
func SyncDir(dir string) error {
	// os.Open would try to wait for the directory in epoll first.
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	f := os.NewFile(uintptr(fd), dir)
	return errors.Join(f.Sync(), f.Close())
}

// CreateFile makes the file at path, in a directory that has it only once it is
// published itself. It is a file that may be half made meanwhile: its name and
// its content need one sync of the journal together, where ReplaceFile needs two.
func CreateFile(path string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode) // whatever the umask
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return SyncDir(filepath.Dir(path))
}

// ReplaceFile puts a file with the data and the mode at path. Whoever opens
// path sees the former content or the new one. What dead writers left in the
// directory is removed.
func ReplaceFile(path string, data []byte, mode fs.FileMode) error {
	return Replace(path, func(f *os.File) error {
		if _, err := f.Write(data); err != nil {
			return err
		}
		return f.Chmod(mode)
	})
}

// Replace is ReplaceFile for a file that fill writes. Its mode is 0644 less the
// umask, unless fill sets another.
func Replace(path string, fill func(*os.File) error) error {
	if err := replace(path, fill); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func replace(path string, fill func(*os.File) error) error {
	dir := filepath.Dir(path)
	Sweep(dir)
	f, err := Temp(dir)
	if err != nil {
		return err
	}
	err = fill(f.File)
	// A failed fsync means that the data may be lost, whatever a second one
	// says: the file is dropped.
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = f.Rename(path)
	}
	if err := errors.Join(err, f.Drop()); err != nil {
		return err
	}
	return SyncDir(dir)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// TempFile is a file on its way to its name. It is locked while it is open,
// which tells Sweep that its writer lives.
type TempFile struct {
	*os.File
	// dir is where it was made, and where its temporary name is.
	dir string
	// name is the temporary name; empty while the file has none.
	name string
}

// Temp opens a file in dir that has no name, and so vanishes with its process;
// where the file system cannot do that (NFS, FUSE), one with a temporary name.
func Temp(dir string) (*TempFile, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o644)
	switch {
	case err == nil:
		// The name is only for messages.
		f := &TempFile{File: os.NewFile(uintptr(fd), filepath.Join(dir, "(unnamed)")), dir: dir}
		return f, lock(f.File)
	case !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.ENOENT):
		return nil, &fs.PathError{Op: "create a file in", Path: dir, Err: err}
	}
	return namedTemp(dir)
}

// namedTemp creates and locks a file with a temporary name.
func namedTemp(dir string) (*TempFile, error) {
	for {
		name := filepath.Join(dir, TempPrefix+rand.Text())
		file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o644)
		if err != nil {
			return nil, err
		}
		f := &TempFile{File: file, dir: dir, name: name}
		var st unix.Stat_t
		err = lock(file)
		if err == nil {
			err = unix.Fstat(int(file.Fd()), &st)
		}
		switch {
		case err != nil:
			return nil, errors.Join(err, f.Drop())
		case st.Nlink > 0:
			return f, nil
		}
		// A sweep came between the creation and the lock.
		if err := file.Close(); err != nil {
			return nil, err
		}
	}
}

// Rename gives the file the name path, on the same file system, in place of
// what has it. The caller syncs the file before, and the directory afterwards.
func (f *TempFile) Rename(path string) error {
	if f.name == "" {
		err := f.link(path)
		if !errors.Is(err, unix.EEXIST) {
			return err
		}
		// linkat(2) cannot replace; this name lives for two calls.
		if err := f.giveName(); err != nil {
			return err
		}
	}
	err := os.Rename(f.name, path)
	if err == nil {
		f.name = ""
	}
	return err
}

// giveName gives the file a temporary name, unless it has one.
func (f *TempFile) giveName() error {
	if f.name != "" {
		return nil
	}
	name := filepath.Join(f.dir, TempPrefix+rand.Text())
	err := f.link(name)
	if err == nil {
		f.name = name
	}
	return err
}

// link gives a file without a name one, in the way that open(2) shows.
func (f *TempFile) link(path string) error {
	err := unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(int(f.Fd())), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
	if err != nil {
		return &os.LinkError{Op: "link", Old: f.Name(), New: path, Err: err}
	}
	return nil
}

// Drop closes the file, and removes it unless it was renamed. It may be called
// again, and then does nothing.
func (f *TempFile) Drop() error {
	if f.File == nil {
		return nil
	}
	var err error
	if f.name != "" {
		err = ignoreMissing(os.Remove(f.name))
	}
	err = errors.Join(err, f.Close())
	f.File = nil
	return err
}

// lock marks the file as that of a living writer.
func lock(f *os.File) error {
	err := tryLock(f)
	// Some file systems have no locks; then a sweep cannot lock either.
	if err == nil || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EWOULDBLOCK) {
		return nil
	}
	return &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
}
