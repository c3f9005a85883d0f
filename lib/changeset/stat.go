package changeset

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Stat is what statx(2) says about one name.
type Stat struct {
	Mode         uint32 // type and permission bits
	UID, GID     uint32
	Nlink        uint32
	Size         int64
	Blocks       int64 // of 512 bytes
	Dev, Ino     uint64
	Mount        uint64 // id of the mount; 0 where the kernel does not tell
	Major, Minor uint32 // of the device that a device node stands for
	Mtime, Ctime unix.StatxTimestamp
	// Btime is when the inode was made, in nanoseconds; 0 where the file
	// system does not tell. File systems give the number of a removed inode
	// to the next one that is made.
	Btime int64
}

// Type is the type part of the mode, one of unix.S_IF*.
func (s *Stat) Type() uint32 { return s.Mode & unix.S_IFMT }

// Perm are the permission bits with setuid, setgid and sticky.
func (s *Stat) Perm() uint32 { return s.Mode & 0o7777 }

// IsDir reports whether it is a directory.
func (s *Stat) IsDir() bool { return s.Type() == unix.S_IFDIR }

// isWhiteout reports whether overlayfs takes it for a whiteout: a character
// device with the number 0:0.
func (s *Stat) isWhiteout() bool {
	return s.Type() == unix.S_IFCHR && s.Major == 0 && s.Minor == 0
}

// sameInode reports whether both are the same inode, untouched in between:
// every change of content or metadata moves the ctime, which no program can
// set back.
func (s *Stat) sameInode(t *Stat) bool {
	return s.sameIdentity(t) && s.Ctime == t.Ctime && s.Size == t.Size && s.Mode == t.Mode
}

// sameIdentity reports whether both are the same inode, changed or not.
func (s *Stat) sameIdentity(t *Stat) bool {
	return s.Dev == t.Dev && s.Ino == t.Ino && s.Btime == t.Btime
}

const statxMask = unix.STATX_BASIC_STATS | unix.STATX_BTIME | unix.STATX_MNT_ID

// statAt stats name in the directory dirfd, and follows no link.
func statAt(dirfd int, name string) (Stat, error) {
	flags := unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
	if name == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	var x unix.Statx_t
	for {
		err := unix.Statx(dirfd, name, flags, statxMask, &x)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			return Stat{}, fmt.Errorf("stat: %w", err)
		}
	}
	s := Stat{
		Mode: uint32(x.Mode), UID: x.Uid, GID: x.Gid, Nlink: x.Nlink,
		Size: int64(x.Size), Blocks: int64(x.Blocks),
		Dev: unix.Mkdev(x.Dev_major, x.Dev_minor), Ino: x.Ino,
		Major: x.Rdev_major, Minor: x.Rdev_minor,
		Mtime: plainTime(x.Mtime), Ctime: plainTime(x.Ctime),
	}
	if x.Mask&unix.STATX_MNT_ID != 0 {
		s.Mount = x.Mnt_id
	}
	if x.Mask&unix.STATX_BTIME != 0 {
		s.Btime = x.Btime.Sec*int64(time.Second) + int64(x.Btime.Nsec)
	}
	return s, nil
}

// plainTime drops the padding, so that times can be compared with ==.
func plainTime(t unix.StatxTimestamp) unix.StatxTimestamp {
	return unix.StatxTimestamp{Sec: t.Sec, Nsec: t.Nsec}
}

// tick is longer than the tick of the kernel's coarse clock (10 ms at the
// slowest), which file times are taken from.
const tick = 20 * time.Millisecond

// settle stats name again until its ctime is older than a tick. Before that, a
// later change could give the file the very same ctime, and go unnoticed for
// ever. One wait settles all files that were changed before it. A ctime in the
// future, after the clock was set back, is replaced by zero: unknown.
func settle(dirfd int, name string, s Stat) (Stat, error) {
	for range 3 {
		age := s.age(time.Now())
		if age >= tick {
			return s, nil
		}
		if age < -tick {
			break
		}
		time.Sleep(tick)
		again, err := statAt(dirfd, name)
		if err != nil {
			return s, err
		}
		s = again
	}
	return s, nil
}

// age is the time from the ctime until now.
func (s *Stat) age(now time.Time) time.Duration {
	return now.Sub(time.Unix(s.Ctime.Sec, int64(s.Ctime.Nsec)))
}
