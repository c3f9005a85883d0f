package mtree

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// found is a file on the disk: its name below an open directory.
type found struct {
	path string
	dir  int
	name string
	stat unix.Stat_t
}

// walkTree visits the tree below root, directories before what is in them.
// One directory is open at a time, and the way back is checked: a tree that
// is moved meanwhile is an error, never a way out.
func walkTree(root string, visit func(*found) error) error {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	top := &found{path: ".", dir: fd, name: "."}
	if err := unix.Fstat(fd, &top.stat); err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	if err := visit(top); err != nil {
		return err
	}
	type level struct {
		path string
		left []string
		stat unix.Stat_t
	}
	left, err := names(fd)
	if err != nil {
		return err
	}
	stack := []level{{"", left, top.stat}}
	enter := func(name string, stat unix.Stat_t) error {
		below, err := unix.Openat(fd, name, flags, 0)
		if err != nil {
			return err
		}
		_ = unix.Close(fd)
		fd = below
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
		if st.Ino != stat.Ino || st.Dev != stat.Dev {
			return errors.New("the tree was moved while it was being read")
		}
		return nil
	}
	for {
		cur := &stack[len(stack)-1]
		if len(cur.left) == 0 {
			if stack = stack[:len(stack)-1]; len(stack) == 0 {
				return nil
			}
			if err := enter("..", stack[len(stack)-1].stat); err != nil {
				return fmt.Errorf("leave %s: %w", cur.path, err)
			}
			continue
		}
		f := &found{path: cur.path + cur.left[0], dir: fd, name: cur.left[0]}
		cur.left = cur.left[1:]
		if err := unix.Fstatat(fd, f.name, &f.stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fmt.Errorf("stat %s: %w", f.path, err)
		}
		if err := visit(f); err != nil {
			return err
		}
		if f.stat.Mode&unix.S_IFMT != unix.S_IFDIR {
			continue
		}
		if err := enter(f.name, f.stat); err != nil {
			return fmt.Errorf("open %s: %w", f.path, err)
		}
		if left, err = names(fd); err != nil {
			return fmt.Errorf("read %s: %w", f.path, err)
		}
		stack = append(stack, level{f.path + "/", left, f.stat})
	}
}

// names lists a directory by way of a descriptor of its own.
func names(fd int) ([]string, error) {
	own, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(own), ".")
	defer f.Close()
	all, err := f.Readdirnames(-1)
	slices.Sort(all)
	return all, err
}
