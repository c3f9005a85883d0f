package overlay

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Idmapped returns a detached clone of the layer in which the ids are mapped
// as the user namespace says: what is 0 on disk shows as the host id that the
// namespace maps 0 to. The clone is attached nowhere and ends with the stack
// that uses it.
func Idmapped(l Lower, userNamespace *os.File) (Lower, error) {
	fd, err := l.clone()
	if err != nil {
		return Lower{}, fmt.Errorf("clone layer %s: %w", l.Path, err)
	}
	clone := os.NewFile(uintptr(fd), l.Path)
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(userNamespace.Fd())}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		clone.Close()
		return Lower{}, fmt.Errorf("map the ids of layer %s: %w", l.Path, err)
	}
	return Lower{Path: l.Path, Mount: clone}, nil
}

// clone returns a detached mount of the layer. A layer that is one already
// belongs to this stack alone, and is mapped itself.
func (l Lower) clone() (int, error) {
	if l.Mount != nil {
		return unix.FcntlInt(l.Mount.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	}
	return unix.OpenTree(unix.AT_FDCWD, l.Path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
}
