package layer

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// removeTree removes a directory and what is below it by descriptors alone.
// It follows no symlink, and goes into no other file system: what is mounted
// there is not part of the tree. Depth costs memory, but no stack and, since
// it goes back up by "..", no descriptors.
func removeTree(dir int, name string) error {
	var home unix.Stat_t
	if err := unix.Fstatat(dir, name, &home, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	type level struct {
		name string
		left []string
		ino  uint64
	}
	fd, err := unix.Openat(dir, name, flags, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	left, err := emptyOut(fd)
	if err != nil {
		return err
	}
	stack := []level{{name, left, home.Ino}}
	for {
		top := &stack[len(stack)-1]
		if len(top.left) > 0 {
			child := top.left[len(top.left)-1]
			top.left = top.left[:len(top.left)-1]
			below, err := unix.Openat(fd, child, flags, 0)
			if err != nil {
				return fmt.Errorf("open %q: %w", child, err)
			}
			_ = unix.Close(fd)
			fd = below
			var st unix.Stat_t
			if err := unix.Fstat(fd, &st); err != nil {
				return err
			}
			if st.Dev != home.Dev {
				return fmt.Errorf("%q: %w", child, unix.EXDEV)
			}
			if left, err = emptyOut(fd); err != nil {
				return err
			}
			stack = append(stack, level{child, left, st.Ino})
			continue
		}
		gone := top.name
		stack = stack[:len(stack)-1]
		if len(stack) == 0 {
			return unix.Unlinkat(dir, gone, unix.AT_REMOVEDIR)
		}
		// The parent is where it was, or somebody has moved the directory.
		up, err := unix.Openat(fd, "..", flags, 0)
		if err != nil {
			return err
		}
		_ = unix.Close(fd)
		fd = up
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
		if st.Ino != stack[len(stack)-1].ino || st.Dev != home.Dev {
			return errors.New("the tree was moved while it was being removed")
		}
		if err := unix.Unlinkat(fd, gone, unix.AT_REMOVEDIR); err != nil {
			return err
		}
	}
}

// emptyOut removes what is not a directory, and returns what is.
func emptyOut(fd int) (dirs []string, err error) {
	names, err := readNames(fd)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		switch err := unix.Unlinkat(fd, name, 0); {
		case err == nil || errors.Is(err, unix.ENOENT):
		case errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM):
			dirs = append(dirs, name)
		default:
			return nil, fmt.Errorf("remove %q: %w", name, err)
		}
	}
	return dirs, nil
}
