package changeset

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// widened calls open while the file of the handle also has the permission bits
// more, which its owner may give himself.
func widened(handle int, more uint32, open func() (int, error)) (int, error) {
	st, err := statAt(handle, "")
	if err != nil {
		return -1, err
	}
	if st.UID != uint32(os.Geteuid()) || st.Type() == unix.S_IFLNK {
		return -1, unix.EACCES
	}
	self := fmt.Sprintf("/proc/self/fd/%d", handle)
	if err := unix.Chmod(self, st.Perm()|more); err != nil {
		return -1, err
	}
	fd, err := retry(open)
	if back := unix.Chmod(self, st.Perm()); back != nil && err == nil {
		if fd >= 0 {
			back = errors.Join(back, unix.Close(fd))
		}
		return -1, fmt.Errorf("restore mode %#o: %w", st.Perm(), back)
	}
	return fd, err
}

// widenings are the change times that files had before and after their modes
// were widened, which moves the time of every name of a file: such a move is no
// change by others.
type widenings map[inode]map[unix.StatxTimestamp]bool

// note remembers that the first became the second by a widening.
func (w widenings) note(before, after *Stat) {
	key := inode{before.Dev, before.Ino}
	if !w[key][before.Ctime] {
		w[key] = map[unix.StatxTimestamp]bool{before.Ctime: true}
	}
	w[key][after.Ctime] = true
}

// same reports whether now is the inode that want describes, untouched by
// others since. The change time of want follows.
func (w widenings) same(now, want *Stat) bool {
	times := w[inode{now.Dev, now.Ino}]
	if times[now.Ctime] && times[want.Ctime] {
		want.Ctime = now.Ctime
	}
	return now.sameInode(want)
}

// widened is [widened] for a file of the directory, and takes a note of it.
func (d *directory) widened(handle int, open func() (int, error)) (int, error) {
	before, err := statAt(handle, "")
	if err != nil {
		return -1, err
	}
	fd, err := widened(handle, 0o400, open)
	if err != nil {
		return -1, err
	}
	after, err := statAt(handle, "")
	if err == nil && d.widenings != nil {
		d.widenings.note(&before, &after)
	}
	return fd, err
}

// handle opens a name of the directory without any right to what it names.
func (d *directory) handle(name string) (int, error) {
	return retry(func() (int, error) {
		return unix.Openat(d.fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
}

// xattrs reads the attributes of a name in the directory. For those in user.*
// its owner may need the right to read the file.
func (d *directory) xattrs(name string) (map[string]string, error) {
	set, err := xattrsAt(d.fd, name)
	if !errors.Is(err, unix.EACCES) {
		return set, err
	}
	handle, err := d.handle(name)
	if err != nil {
		return nil, err
	}
	defer unix.Close(handle)
	_, err = d.widened(handle, func() (int, error) {
		var err error
		set, err = xattrsAt(d.fd, name)
		return -1, err
	})
	return set, err
}
