package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Output is the file that a user has named for a document. A regular file is
// replaced when the new one is whole, and can be brought back. What is a pipe
// or a device is written to, as the user's shell would.
type Output struct {
	*os.File
	// temp is the file on its way to path; nil for a pipe or a device.
	temp *TempFile
	// path is free of symlinks: what a link leads to is replaced, not the link.
	path string
	// replaced tells that another file was there before. former is the temporary
	// name under which it is kept, "" where that cannot be, and held its lock.
	replaced bool
	former   string
	held     *os.File
}

// OpenOutput opens the file for writing. Until Publish nobody sees what is
// written to it, unless it is a pipe or a device.
func OpenOutput(name string) (*Output, error) {
	info, err := os.Stat(name)
	switch {
	case err == nil && info.IsDir():
		return nil, &fs.PathError{Op: "write", Path: name, Err: unix.EISDIR}
	case err == nil && !info.Mode().IsRegular():
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		return &Output{File: f}, err
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	path, err := resolve(name)
	if err != nil {
		return nil, err
	}
	Sweep(filepath.Dir(path))
	temp, err := Temp(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	o := &Output{File: temp.File, temp: temp, path: path}
	if info != nil {
		err = temp.Chmod(info.Mode().Perm())
	}
	if err != nil {
		return nil, errors.Join(err, temp.Drop())
	}
	return o, nil
}

// Streams reports whether it is a pipe or a device.
func (o *Output) Streams() bool { return o.temp == nil }

// resolve finds where the name leads, as open(2) with O_CREAT would: also by a
// link to what is not there yet.
func resolve(name string) (string, error) {
	for range 40 { // the kernel's limit
		dir, err := filepath.EvalSymlinks(filepath.Dir(name))
		if err != nil {
			return "", err
		}
		name = filepath.Join(dir, filepath.Base(name))
		target, err := os.Readlink(name)
		switch {
		case errors.Is(err, unix.EINVAL), errors.Is(err, fs.ErrNotExist):
			return filepath.Abs(name)
		case err != nil:
			return "", err
		case !filepath.IsAbs(target):
			target = filepath.Join(dir, target)
		}
		name = target
	}
	return "", &fs.PathError{Op: "open", Path: name, Err: unix.ELOOP}
}

// Publish makes what was written durable, and gives it its name.
func (o *Output) Publish() error {
	if o.temp == nil {
		return o.File.Close()
	}
	if err := o.Sync(); err != nil {
		return err
	}
	if err := o.exchange(); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(o.path))
}

// exchange puts the file in the place of the former one, which it keeps. A file
// system that cannot exchange two names (NFS) keeps none.
func (o *Output) exchange() error {
	info, err := os.Lstat(o.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return o.temp.Rename(o.path)
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file any more", o.path)
	}
	if err := o.temp.giveName(); err != nil {
		return err
	}
	o.replaced, o.held = true, hold(o.path)
	err = unix.Renameat2(unix.AT_FDCWD, o.temp.name, unix.AT_FDCWD, o.path, unix.RENAME_EXCHANGE)
	switch {
	case err == nil:
		o.former, o.temp.name = o.temp.name, ""
		return nil
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.ENOTSUP):
		return o.temp.Rename(o.path)
	default:
		return &os.LinkError{Op: "exchange", Old: o.temp.name, New: o.path, Err: err}
	}
}

// hold locks the file, so that nobody sweeps it away under a temporary name.
// One that cannot be opened no sweep of this user's can open.
func hold(path string) *os.File {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	// Where the file system has no locks, a sweep cannot lock either.
	_ = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	return f
}

// Undo takes back what Publish has done. What went into a pipe or a device
// stays there; so does a file in whose place another process has put its own,
// or whose predecessor could not be kept.
func (o *Output) Undo() error {
	if o.temp == nil || !o.isAt(o.path) {
		return nil
	}
	switch {
	case o.former != "":
		former := o.former
		o.former = ""
		return os.Rename(former, o.path)
	case o.replaced:
		return nil
	}
	return os.Remove(o.path)
}

// isAt reports whether the file has the name.
func (o *Output) isAt(path string) bool {
	own, err := o.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(path)
	return err == nil && os.SameFile(own, there)
}

// Drop closes the file, and removes what is not, or not any more, to be seen.
// It may be called again.
func (o *Output) Drop() error {
	if o.temp == nil {
		if err := o.File.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
			return err
		}
		return nil
	}
	err := o.temp.Drop()
	if o.former != "" {
		err = errors.Join(err, ignoreMissing(os.Remove(o.former)))
		o.former = ""
	}
	if o.held != nil {
		err = errors.Join(err, o.held.Close())
		o.held = nil
	}
	return err
}
