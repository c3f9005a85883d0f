package layout

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// tempFile opens a file that has no name, and so vanishes with its process;
// where the file system cannot do that (NFS, FUSE), one with a temporary name.
// The file is locked for as long as it is open, which tells sweep that its
// writer lives.
func tempFile(dir string) (f *os.File, temp string, err error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o644)
	switch {
	case err == nil:
		// The name is only for messages and for adopt.
		f = os.NewFile(uintptr(fd), filepath.Join(dir, "(unnamed)"))
		return f, "", lockFile(f)
	case !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.ENOENT):
		return nil, "", &os.PathError{Op: "create a file in", Path: dir, Err: err}
	}
	return namedTempFile(dir)
}

// namedTempFile creates and locks a file. Between the two a sweep may remove
// it, which shows as a link count of zero.
func namedTempFile(dir string) (*os.File, string, error) {
	for {
		f, err := os.CreateTemp(dir, tempPrefix)
		if err != nil {
			return nil, "", err
		}
		var st unix.Stat_t
		err = lockFile(f)
		if err == nil {
			err = unix.Fstat(int(f.Fd()), &st)
		}
		switch {
		case err != nil:
			return nil, "", errors.Join(err, f.Close(), ignoreMissing(os.Remove(f.Name())))
		case st.Nlink > 0:
			return f, f.Name(), nil
		}
		if err := f.Close(); err != nil {
			return nil, "", err
		}
	}
}

func lockFile(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		// Some file systems have no locks; then sweep cannot lock either.
		if err == nil || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EWOULDBLOCK) {
			return nil
		}
		if !errors.Is(err, unix.EINTR) {
			return &os.PathError{Op: "lock", Path: f.Name(), Err: err}
		}
	}
}

// linkUnnamed gives an O_TMPFILE file a name, as open(2) shows it.
func linkUnnamed(f *os.File, path string) error {
	err := unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(int(f.Fd())), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
	if err != nil {
		return &os.LinkError{Op: "link", Old: f.Name(), New: path, Err: err}
	}
	return nil
}

// linkTemp links the file under a temporary name in dir.
func linkTemp(f *os.File, dir string) (string, error) {
	for n := 0; ; n++ {
		temp := filepath.Join(dir, fmt.Sprintf("%sblob-%d-%d", tempPrefix, os.Getpid(), n))
		err := linkUnnamed(f, temp)
		if err == nil || !errors.Is(err, unix.EEXIST) || n > 1000 {
			return temp, err
		}
	}
}

// sweep removes temporary files whose writers are dead. The caller holds the
// layout's lock. Its errors do not matter: the next writer tries again.
func (l *Layout) sweep() {
	dir := l.tempDir()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix) && e.Type().IsRegular() {
			removeAbandoned(filepath.Join(dir, e.Name()))
		}
	}
}

func removeAbandoned(path string) {
	fd, err := openat(unix.AT_FDCWD, path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK)
	if err != nil {
		return
	}
	if unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == nil {
		_ = os.Remove(path)
	}
	_ = unix.Close(fd)
}
