package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// freshFS is a new ext4 in a sparse file. Each repetition gets one of its own:
// ext4 avoids inodes that were freed in the last minutes and scans past them,
// so that a loop of unpacking and removing measures that scan.
type freshFS struct{ image, dir string }

// newFreshFS makes and mounts one of size bytes below dir. The inode tables are
// written at once, else the kernel would write them during the measurement.
func newFreshFS(dir string, size int64) (*freshFS, error) {
	f := &freshFS{image: filepath.Join(dir, "fresh.img"), dir: filepath.Join(dir, "fresh")}
	if err := os.MkdirAll(f.dir, 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(f.image, os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(file.Truncate(size), file.Close()); err != nil {
		return nil, err
	}
	if err := command("mkfs.ext4", "-q", "-F", "-N", "400000", "-E", "lazy_itable_init=0,lazy_journal_init=0", f.image); err != nil {
		return nil, err
	}
	if err := command("mount", "-o", "loop", f.image, f.dir); err != nil {
		return nil, err
	}
	return f, os.RemoveAll(filepath.Join(f.dir, "lost+found"))
}

func (f *freshFS) close() error {
	return errors.Join(command("umount", f.dir), os.Remove(f.image))
}

func command(argv ...string) error {
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%v: %w\n%s", argv, err, out)
	}
	return nil
}
