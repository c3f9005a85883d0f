package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
)

// temp is a private directory below tmp, whose lock says that its maker lives.
type temp struct {
	dir  string
	lock *os.File
}

// temp makes one. A sweep may take the directory between its making and its
// locking: then another is made.
func (s *Store) temp(ctx context.Context) (*temp, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		dir, err := os.MkdirTemp(s.path("tmp"), "work-")
		if err != nil {
			return nil, fmt.Errorf("make temporary directory: %w", err)
		}
		lock, err := lockDir(dir)
		switch {
		case err == nil:
			return &temp{dir: dir, lock: lock}, nil
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.EWOULDBLOCK):
			return nil, err
		}
	}
}

// Scratch calls do with a private directory in the file system of the store,
// and removes it afterwards.
func (s *Store) Scratch(ctx context.Context, do func(dir string) error) error {
	if err := s.prepare(); err != nil {
		return err
	}
	tmp, err := s.temp(ctx)
	if err != nil {
		return err
	}
	return errors.Join(do(tmp.dir), tmp.discard())
}

// lockDir takes the lock on a directory that is still in its place.
func lockDir(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	f := os.NewFile(uintptr(fd), dir)
	if err := tryFlock(f, unix.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	var held, there unix.Stat_t
	if err := errors.Join(unix.Fstat(fd, &held), unix.Lstat(dir, &there)); err != nil || held.Ino != there.Ino {
		f.Close()
		return nil, &fs.PathError{Op: "lock", Path: dir, Err: fs.ErrNotExist}
	}
	return f, nil
}

// sync writes everything below the directory to the disk: one call for the
// file system is far cheaper than one for each file.
func (t *temp) sync() error {
	if err := unix.Syncfs(int(t.lock.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", t.dir, err)
	}
	return nil
}

func (t *temp) discard() error {
	defer t.lock.Close()
	return bundle.RemoveAll(t.dir)
}

// sweep removes what dead processes left below tmp.
func (s *Store) sweep() error {
	entries, err := os.ReadDir(s.path("tmp"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list temporary directories: %w", err)
	}
	var errs []error
	for _, e := range entries {
		dir := s.path("tmp", e.Name())
		lock, err := lockDir(dir)
		switch {
		case errors.Is(err, unix.EWOULDBLOCK), errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			errs = append(errs, err)
			continue
		}
		errs = append(errs, (&temp{dir: dir, lock: lock}).discard())
	}
	return errors.Join(errs...)
}
