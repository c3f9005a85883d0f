package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// disk is a file system of a point's own, on which things go wrong.
type disk struct {
	dir  string
	file string // of an ext4; empty for a tmpfs
}

const diskSize = 64 << 20

// newDisk mounts a tmpfs, or a new ext4 in a file.
func (s *sweep) newDisk(ext4 bool) (*disk, error) {
	dir, err := os.MkdirTemp(s.work, "disk")
	if err != nil {
		return nil, err
	}
	d := &disk{dir: dir}
	if !ext4 {
		return d, unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,nr_inodes=10000,mode=0700", diskSize))
	}
	d.file = dir + ".img"
	if err := errors.Join(os.WriteFile(d.file, nil, 0o600), os.Truncate(d.file, diskSize)); err != nil {
		return nil, err
	}
	if err := command("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^resize_inode", "-E", "lazy_itable_init=0,lazy_journal_init=0", d.file); err != nil {
		return nil, err
	}
	if err := d.attach(); err != nil {
		return nil, err
	}
	return d, os.RemoveAll(filepath.Join(dir, "lost+found"))
}

// envOn makes a disk, and on it what the operation starts from.
func (s *sweep) envOn(ext4 bool, op operation) (*disk, *env, error) {
	d, err := s.newDisk(ext4)
	if err != nil {
		return nil, nil, err
	}
	e, err := s.envAt(d.dir, op)
	if err != nil {
		return nil, nil, errors.Join(err, d.close())
	}
	return d, e, nil
}

func (d *disk) attach() error { return command("mount", "-o", "loop", d.file, d.dir) }

// detach unmounts it; somebody who has copied the mount namespace can keep it
// busy for a moment.
func (d *disk) detach() error {
	var err error
	for range 100 {
		if err = unix.Unmount(d.dir, 0); !errors.Is(err, unix.EBUSY) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("unmount %s: %w", d.dir, err)
}

// replug mounts a copy of what had reached the disk. The disk itself would stay
// cut off as long as any mount namespace that was copied meanwhile has it.
func (d *disk) replug() error {
	old := d.file
	d.file += ".again"
	return errors.Join(command("cp", "--sparse=always", old, d.file), os.Remove(old), d.attach())
}

func (d *disk) close() error {
	err := d.detach()
	if err != nil {
		_ = unix.Unmount(d.dir, unix.MNT_DETACH)
	}
	if d.file != "" {
		err = errors.Join(err, os.Remove(d.file))
	}
	return errors.Join(err, os.Remove(d.dir))
}

// leave leaves so much room, and so many inodes; 0 is all that there were.
func (d *disk) leave(room, inodes int64) error {
	now, err := d.used()
	if err != nil {
		return err
	}
	if d.file != "" {
		return d.fill(room)
	}
	size, number := int64(diskSize), int64(10_000)
	if room > 0 {
		size = now.blocks + room
	}
	if inodes > 0 {
		number = now.inodes + inodes
	}
	return unix.Mount("tmpfs", d.dir, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%d,nr_inodes=%d", size, number))
}

// fill takes all of an ext4 but the room with a file, or removes that file.
func (d *disk) fill(room int64) error {
	filler := filepath.Join(d.dir, "filler")
	if room == 0 {
		return os.Remove(filler)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(d.dir, &st); err != nil {
		return err
	}
	f, err := os.OpenFile(filler, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	size := int64(st.Bavail)*st.Bsize - room
	err = unix.Fallocate(int(f.Fd()), 0, 0, max(1, size))
	for n := int64(1); errors.Is(err, unix.ENOSPC) && n < 64; n++ { // the file's own extents need room
		err = unix.Fallocate(int(f.Fd()), 0, 0, max(1, size-n<<16))
	}
	return errors.Join(err, f.Close())
}
