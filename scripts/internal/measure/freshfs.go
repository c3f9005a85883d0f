package measure

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// FS is a new, empty file system.
type FS struct {
	// Dir is where it is mounted.
	Dir string
	// image holds it; empty for a tmpfs.
	image string
}

// FreshFS makes a new ext4 in a sparse file below dir, of size bytes and with
// inodes inodes, and mounts it. Each run gets one of its own: ext4 avoids
// inodes that were freed in the last minutes and scans past them, so that a
// loop of unpacking and removing measures that scan. The inode tables are
// written at once, else the kernel would write them during the measurement.
func FreshFS(dir string, size, inodes int64) (*FS, error) {
	f := &FS{Dir: filepath.Join(dir, "fresh"), image: filepath.Join(dir, "fresh.img")}
	if err := os.MkdirAll(f.Dir, 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(f.image, os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(file.Truncate(size), file.Close()); err != nil {
		return nil, err
	}
	if err := Command("mkfs.ext4", "-q", "-F", "-N", strconv.FormatInt(inodes, 10), "-E", "lazy_itable_init=0,lazy_journal_init=0", f.image); err != nil {
		return nil, err
	}
	if err := Command("mount", "-o", "loop", f.image, f.Dir); err != nil {
		return nil, err
	}
	return f, os.RemoveAll(filepath.Join(f.Dir, "lost+found"))
}

// FreshTmpfs mounts a tmpfs below dir.
func FreshTmpfs(dir string, size, inodes int64) (*FS, error) {
	f := &FS{Dir: filepath.Join(dir, "tmpfs")}
	if err := os.MkdirAll(f.Dir, 0o755); err != nil {
		return nil, err
	}
	return f, unix.Mount("tmpfs", f.Dir, "tmpfs", 0, fmt.Sprintf("size=%d,nr_inodes=%d", size, inodes))
}

// Close unmounts and removes it. A process that is about to end, in a mount
// namespace of its own, can keep it busy for a moment; one of somebody else
// that has copied the mount, for longer.
func (f *FS) Close() error {
	err := unix.Unmount(f.Dir, 0)
	for range 20 {
		if !errors.Is(err, unix.EBUSY) {
			break
		}
		time.Sleep(50 * time.Millisecond)
		err = unix.Unmount(f.Dir, 0)
	}
	if errors.Is(err, unix.EBUSY) {
		err = unix.Unmount(f.Dir, unix.MNT_DETACH)
	}
	if f.image != "" {
		err = errors.Join(err, os.Remove(f.image))
	}
	return err
}

// Command runs a program whose output matters only when it fails.
func Command(argv ...string) error {
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%v: %w\n%s", argv, err, Tail(string(out), 2000))
	}
	return nil
}
