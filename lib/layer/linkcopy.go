package layer

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/sparse"
)

// noLinks reports whether the file system cannot make this hard link: shared
// folders have none (EPERM), projects with quotas cannot share files (EXDEV),
// and an inode has no room for another name (EMLINK).
func noLinks(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EMLINK) || errors.Is(err, unix.EOPNOTSUPP)
}

// copyInstead gives n an inode of its own that equals the target's.
func (d *disk) copyInstead(n, target *node, from, to *handle) error {
	if err := d.barrier(); err != nil { // the target may still be in the making
		return err
	}
	target.ino.nlink--
	n.ino = target.ino.copy()
	if n.ino.kind != flagRegular {
		return d.leaf(n)
	}
	source, err := retry(func() (int, error) {
		return unix.Openat(from.fd, target.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return fmt.Errorf("open for copying: %w", err)
	}
	defer unix.Close(source)
	w := newWriter(d) // of this file alone
	defer w.abandon()
	if err := w.create(&task{n: n, h: to}); err != nil {
		return err
	}
	if err := d.copyData(w.fd, source, n.ino.size); err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	return w.seal(n.ino, true)
}

// copy returns an inode with one name.
func (ino *inode) copy() *inode {
	c := &inode{
		size: ino.size, mtime: ino.mtime, digest: ino.digest, uid: ino.uid, gid: ino.gid, nlink: 1,
		ordinal: ino.ordinal, layer: ino.layer, mode: ino.mode, kind: ino.kind,
	}
	if ino.rare != nil {
		more := *ino.rare
		c.rare = &more
	}
	return c
}

// copyData copies what is not a hole.
func (d *disk) copyData(to, from int, size int64) error {
	buf := make([]byte, chunkSize)
	for at := int64(0); at < size; {
		if err := d.failed(); err != nil {
			return err
		}
		data, end := sparse.NextData(from, at, size)
		if data == end {
			return nil // the rest is a hole
		}
		at = data
		n, err := retry(func() (int, error) { return unix.Pread(from, buf[:min(int64(len(buf)), end-at)], at) })
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		if err := pwrite(to, buf[:n], at); err != nil {
			return err
		}
		at += int64(n)
	}
	return nil
}
