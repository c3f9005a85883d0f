package overlay

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Layer is a lower with what its archive left unsaid.
type Layer struct {
	Lower
	// Implied are the directories that had to be invented because the
	// archive has entries below them but none for them; relative paths,
	// "." for the root.
	Implied []string
}

// Fixup makes, in the empty directory dir, the layer that undoes the masking
// by invented directories, and reports whether anything is in it.
//
// A merged directory has the mode, owner, times and attributes of the topmost
// layer that holds it. If that one is invented, and a layer below has the
// directory for real, then the real metadata would be hidden: root's 0700
// home would be open to all. The fixup layer, on top of the others, repeats
// just those directories with the right metadata. It is a lower: nothing of
// it is ever committed.
//
// The root of dir gets the metadata of the merged root in any case.
func Fixup(dir string, layers []Layer, userXattr bool) (bool, error) {
	f := fixup{marks: marksFor(userXattr), layers: make([]Lower, len(layers)), implied: make([]map[string]bool, len(layers))}
	wanted := &node{}
	for i, l := range layers {
		f.layers[i] = l.Lower
		f.implied[i] = make(map[string]bool, len(l.Implied))
		for _, path := range l.Implied {
			f.implied[i][path] = true
			wanted.add(path)
		}
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, fmt.Errorf("open fixup layer %s: %w", dir, err)
	}
	defer unix.Close(fd)
	root, err := f.marks.merge(f.layers, all(len(layers)), ".")
	if err != nil {
		return false, err
	}
	needed, err := f.fill(fd, ".", wanted, root.layers)
	if err != nil {
		return false, fmt.Errorf("make fixup layer %s: %w", dir, err)
	}
	if err := f.restore(fd, ".", root.layers); err != nil {
		return false, fmt.Errorf("make fixup layer %s: %w", dir, err)
	}
	return needed, nil
}

// CopyRoot gives the directory dir the metadata of the root of the lower: an
// upper must start with it, or "/" changes by being mounted.
func CopyRoot(dir string, l Lower, userXattr bool) error {
	to, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	defer unix.Close(to)
	from, err := reopen(l, ".")
	if err != nil {
		return err
	}
	defer unix.Close(from)
	if err := marksFor(userXattr).copyMetadata(from, to); err != nil {
		return fmt.Errorf("copy the metadata of the root to %s: %w", dir, err)
	}
	return nil
}

// node is a directory in the tree of all invented directories.
type node struct{ children map[string]*node }

func (n *node) add(path string) {
	if path == "." {
		return
	}
	for name := range strings.SplitSeq(path, "/") {
		child := n.children[name]
		if child == nil {
			if n.children == nil {
				n.children = make(map[string]*node)
			}
			child = &node{}
			n.children[name] = child
		}
		n = child
	}
}

type fixup struct {
	marks   marks
	layers  []Lower
	implied []map[string]bool
}

// fill makes below the directory at what is needed of the tree n, which
// stands for path, and reports whether path itself or something below it is.
// merging are the layers whose directories merge at path.
func (f *fixup) fill(at int, path string, n *node, merging []int) (bool, error) {
	needed := f.masked(path, merging)
	if len(merging) < 2 {
		// One layer alone hides nothing, here or further down.
		return needed, nil
	}
	names := make([]string, 0, len(n.children))
	for name := range n.children {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		child := join(path, name)
		below, err := f.marks.merge(f.layers, merging, child)
		if err != nil {
			return false, err
		}
		if len(below.layers) < 2 {
			continue
		}
		made, err := f.fillChild(at, name, child, n.children[name], below.layers)
		if err != nil {
			return false, err
		}
		needed = needed || made
	}
	return needed, nil
}

// fillChild makes the directory, and takes it away again when nothing at or
// below it needs mending.
func (f *fixup) fillChild(at int, name, path string, n *node, merging []int) (bool, error) {
	if err := unix.Mkdirat(at, name, 0o700); err != nil {
		return false, fmt.Errorf("make directory %s: %w", path, err)
	}
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, fmt.Errorf("open directory %s: %w", path, err)
	}
	defer unix.Close(fd)
	needed, err := f.fill(fd, path, n, merging)
	switch {
	case err != nil:
		return false, err
	case needed:
		return true, f.restore(fd, path, merging)
	}
	if err := unix.Unlinkat(at, name, unix.AT_REMOVEDIR); err != nil {
		return false, fmt.Errorf("remove directory %s: %w", path, err)
	}
	return false, nil
}

// masked reports whether the topmost directory at path is invented and a
// lower one is not.
func (f *fixup) masked(path string, merging []int) bool {
	return len(merging) > 0 && f.source(path, merging) != merging[0]
}

// source is the topmost layer that has path for real, else the topmost.
func (f *fixup) source(path string, merging []int) int {
	for _, i := range merging {
		if !f.implied[i][path] {
			return i
		}
	}
	return merging[0]
}

// restore gives the directory its true metadata; after its children are made,
// since that changes its time.
func (f *fixup) restore(to int, path string, merging []int) error {
	if len(merging) == 0 {
		return errors.New("no layer has a root directory")
	}
	from, err := reopen(f.layers[f.source(path, merging)], path)
	if err != nil {
		return err
	}
	defer unix.Close(from)
	if err := f.marks.copyMetadata(from, to); err != nil {
		return fmt.Errorf("metadata of %s: %w", path, err)
	}
	return nil
}

// reopen opens the directory path of the layer for reading its attributes.
func reopen(l Lower, path string) (int, error) {
	at, err := openIn(l, path)
	if err != nil {
		return -1, err
	}
	defer unix.Close(at)
	fd, err := unix.Openat(at, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s in layer %s: %w", path, l.Path, err)
	}
	return fd, nil
}
