package overlay

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// copyMetadata gives the directory open as to the owner, mode, attributes and
// times of the one open as from. Overlay's own marks stay behind: they say
// something about the place, not about the directory.
func (m marks) copyMetadata(from, to int) error {
	var st unix.Stat_t
	if err := unix.Fstat(from, &st); err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	if err := unix.Fchown(to, int(st.Uid), int(st.Gid)); err != nil {
		return fmt.Errorf("chown to %d:%d: %w", st.Uid, st.Gid, err)
	}
	if err := unix.Fchmod(to, st.Mode&0o7777); err != nil {
		return fmt.Errorf("chmod to %#o: %w", st.Mode&0o7777, err)
	}
	if err := m.copyAttributes(from, to); err != nil {
		return err
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", to), times, 0); err != nil {
		return fmt.Errorf("set times: %w", err)
	}
	return nil
}

func (m marks) copyAttributes(from, to int) error {
	// Most directories have none: then no memory is touched for them.
	size, err := unix.Flistxattr(from, nil)
	if errors.Is(err, unix.ENOTSUP) || err == nil && size == 0 {
		return nil
	}
	names := make([]byte, 1<<16)
	n, err := unix.Flistxattr(from, names)
	if err != nil {
		return fmt.Errorf("list attributes: %w", err)
	}
	value := make([]byte, 1<<16)
	for name := range bytes.SplitSeq(names[:n], []byte{0}) {
		key := string(name)
		if key == "" || key == "security.selinux" || m.own(key) {
			continue
		}
		size, err := unix.Fgetxattr(from, key, value)
		if err != nil {
			return fmt.Errorf("read attribute %s: %w", key, err)
		}
		if err := unix.Fsetxattr(to, key, value[:size], 0); err != nil && !errors.Is(err, unix.ENOTSUP) {
			return fmt.Errorf("set attribute %s: %w", key, err)
		}
	}
	return nil
}
