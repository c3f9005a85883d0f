package layer

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// setOwnerAndMode sets what the file has not got by being made.
func (d *disk) setOwnerAndMode(fd int, ino *inode) error {
	uid, gid := d.opt.owner(ino)
	chown := !d.birth.certain || uid != d.birth.uid || gid != d.birth.gid
	if chown {
		if err := unix.Fchown(fd, int(uid), int(gid)); err != nil {
			return fmt.Errorf("set the owner %d:%d: %w", uid, gid, err)
		}
	}
	mode := uint32(ino.mode)
	if chown || !d.birth.certain || ino.kind == flagDir || mode&(d.birth.umask|0o7000) != 0 {
		if err := unix.Fchmod(fd, mode); err != nil {
			return fmt.Errorf("set the mode %#o: %w", mode, err)
		}
	}
	return nil
}

// setTimes sets both times to the one that layers carry.
func setTimes(fd int, t timespec) error {
	ts := t.unix()
	// futimens(2) is utimensat without a path.
	if err := eintr(func() error { return futimens(fd, &ts) }); err != nil {
		return fmt.Errorf("set the time: %w", err)
	}
	return nil
}

func (t timespec) unix() [2]unix.Timespec {
	ts := unix.Timespec{Sec: t.sec, Nsec: int64(t.nsec)}
	return [2]unix.Timespec{ts, ts}
}

// setXattrs sets the attributes of the image and, rootless, the owner. What
// the file system does not take is left out with a warning: the files
// themselves are worth more.
func (d *disk) setXattrs(ino *inode, set func(name string, value []byte) error) error {
	xattrs := ino.more().xattrs
	if d.opt.Rootless && ino.keepsUserXattrs() {
		if owner := rootlessOwner(ino.uid, ino.gid); owner != "" {
			xattrs = append(slices.Clone(xattrs), xattr{RootlessXattr, owner})
			slices.SortFunc(xattrs, func(a, b xattr) int { return strings.Compare(a.name, b.name) })
		}
	}
	var kept []xattr
	for _, x := range xattrs {
		err := eintr(func() error { return set(x.name, []byte(x.value)) })
		switch {
		case err == nil:
			kept = append(kept, x)
		case errors.Is(err, unix.EINVAL) && strings.HasPrefix(x.name, "system.posix_acl_"):
			return fault.Refused("xattr %s holds no valid ACL: %w", x.name, err)
		case tolerable(err):
			d.warnOnce(x.name+err.Error(), "xattr %s is left out where it cannot be set: %v", x.name, err)
		default:
			return fmt.Errorf("set xattr %s: %w", x.name, err)
		}
	}
	ino.setXattrs(kept) // what the manifest shall say
	return nil
}

// tolerable are the errors of a file system, a kernel or a user that cannot
// keep an attribute.
func tolerable(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) ||
		errors.Is(err, unix.ERANGE) || errors.Is(err, unix.E2BIG) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSPC)
}

// leaf makes a symlink, device or fifo by its name below the open directory.
func (w *writer) leaf(t *task) error {
	ino, name, dir := t.n.ino, t.n.name, t.h.fd
	if err := makeNode(dir, name, ino); err != nil {
		return err
	}
	d := w.disk
	uid, gid := d.opt.owner(ino)
	chown := !d.birth.certain || uid != d.birth.uid || gid != d.birth.gid
	if chown {
		if err := unix.Fchownat(dir, name, int(uid), int(gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fmt.Errorf("set the owner %d:%d: %w", uid, gid, err)
		}
	}
	if ino.kind != flagSymlink && (chown || !d.birth.certain || uint32(ino.mode)&(d.birth.umask|0o7000) != 0) {
		if err := chmodNode(dir, name, uint32(ino.mode)); err != nil {
			return fmt.Errorf("set the mode %#o: %w", ino.mode, err)
		}
	}
	if err := d.setXattrs(ino, func(attr string, value []byte) error {
		// There is no call by directory and name before Linux 6.13.
		return unix.Lsetxattr("/proc/self/fd/"+strconv.Itoa(dir)+"/"+name, attr, value, 0)
	}); err != nil {
		return err
	}
	ts := ino.mtime.unix()
	if err := eintr(func() error { return unix.UtimesNanoAt(dir, name, ts[:], unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
		return fmt.Errorf("set the time: %w", err)
	}
	if err := d.identify(ino, &w.identities, dir, name); err != nil {
		return err
	}
	ino.written.Store(true)
	return nil
}

func makeNode(dir int, name string, ino *inode) error {
	var err error
	more, mode := ino.more(), uint32(ino.mode&0o777)
	switch ino.kind {
	case flagSymlink:
		err = unix.Symlinkat(more.link, dir, name)
	case flagFifo:
		err = unix.Mknodat(dir, name, unix.S_IFIFO|mode, 0)
	case flagChar, flagWhiteout:
		err = unix.Mknodat(dir, name, unix.S_IFCHR|mode, int(unix.Mkdev(more.major, more.minor)))
	case flagBlock:
		err = unix.Mknodat(dir, name, unix.S_IFBLK|mode, int(unix.Mkdev(more.major, more.minor)))
	}
	switch {
	case err == nil:
		return nil
	case ino.kind == flagWhiteout && errors.Is(err, unix.EPERM):
		return fault.Hint(fmt.Errorf("create a whiteout: %w", err),
			"the file system may hold none, such as the overlay of a container; name a state directory on another one: --root DIR")
	}
	return fmt.Errorf("create: %w", err)
}

// chmodNode changes the mode of a device or fifo without opening it, and
// without following what may have taken its place.
func chmodNode(dir int, name string, mode uint32) error {
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return unix.ELOOP
	}
	return unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), mode)
}
