package confine

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// wall makes everything read-only but the directory. The process is alone in
// its mount namespace.
func wall(o *order) error {
	// Nothing that is done here may reach the namespace it was copied from.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return &noWallError{err}
	}
	var gates []gate
	defer func() {
		for _, g := range gates {
			_ = unix.Close(g.tree)
		}
	}()
	for _, dir := range append([]string{string(o.Dir)}, gapsForTests()...) {
		g, err := openGate(dir)
		if err != nil {
			return &noWallError{err}
		}
		gates = append(gates, g)
	}
	readOnly := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &readOnly)
	if errors.Is(err, unix.ENOSYS) {
		err = fmt.Errorf("%w (Linux 5.12 or later is needed)", err)
	}
	if err != nil {
		return &noWallError{fmt.Errorf("mount_setattr /: %w", err)}
	}
	for _, g := range gates {
		if err := g.attach(); err != nil {
			return &noWallError{err}
		}
	}
	return nil
}

// gate is a directory that stays writable.
type gate struct {
	dir  string
	tree int
}

// openGate copies the directory as a mount that is not attached yet, so that
// what is done to "/" spares it.
func openGate(dir string) (gate, error) {
	tree, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return gate{}, fmt.Errorf("open_tree %s: %w", dir, err)
	}
	return gate{dir: dir, tree: tree}, nil
}

func (g gate) attach() error {
	// Setuid files and devices of the image mean nothing here.
	inert := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC}
	if err := unix.MountSetattr(g.tree, "", unix.AT_EMPTY_PATH, &inert); err != nil {
		return fmt.Errorf("mount_setattr %s: %w", g.dir, err)
	}
	// The path may be a link, which open_tree has followed, too.
	const flags = unix.MOVE_MOUNT_F_EMPTY_PATH | unix.MOVE_MOUNT_T_SYMLINKS
	if err := unix.MoveMount(g.tree, "", unix.AT_FDCWD, g.dir, flags); err != nil {
		return fmt.Errorf("move_mount %s: %w", g.dir, err)
	}
	return nil
}

// enter makes the directory the current one, and checks that it is the one
// that the parent meant.
func enter(o *order) error {
	dir := string(o.Dir)
	if err := unix.Chdir(dir); err != nil {
		return fmt.Errorf("enter %s: %w", dir, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(".", &st); err != nil {
		return fmt.Errorf("stat %s: %w", dir, err)
	}
	if st.Dev != o.Device || st.Ino != o.Inode {
		return fmt.Errorf("%s was replaced while the confined process started", dir)
	}
	return nil
}

// packed gives the missing wall a kind of its own, by which the parent can
// tell it.
func packed(err error) *failure {
	var noWall *noWallError
	if errors.As(err, &noWall) {
		return &failure{Text: noWall.err.Error(), Kind: "no-wall"}
	}
	return pack(err)
}
