package overlay

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Layer is a lower with what its archive left unsaid.
type Layer struct {
	Lower
	// Implied are the directories that had to be invented because the
	// archive has entries below them but none for them; relative paths,
	// "." for the root.
	Implied []string
	// Remade are those of them that the layer itself removes first: what
	// lower layers say of them does not count.
	Remade []string
	// WhiteoutDirs are the directories with whiteouts in them.
	WhiteoutDirs []string
	// Phantoms are those of Implied that were invented for whiteouts alone.
	Phantoms []string
	// Late are directories whose own entry came after entries below them.
	Late []string
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
// It also repeats the directories with whiteouts that no other layer has: the
// kernel passes the names in a directory of one layer on as they are, those of
// whiteouts included, and leaves them out only where it merges. And it removes
// the directories that are nowhere but in layers that have nothing to say of
// them than what is not to be there.
//
// The root of dir gets the metadata of the merged root in any case.
func (s *Survey) Fixup(dir string) (bool, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, fmt.Errorf("open fixup layer %s: %w", dir, err)
	}
	defer unix.Close(fd)
	root := s.root.place(all(len(s.layers)))
	needed, err := s.fill(fd, ".", s.root, root)
	if err == nil {
		err = s.restore(fd, ".", root)
	}
	if err != nil {
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

// place is a directory of the merged tree.
type place struct {
	// merging are the layers whose content merges there, topmost first.
	merging []int
	// source is the layer with the metadata that counts.
	source int
}

// masked reports whether the topmost directory is invented, and another one
// is not.
func (p place) masked() bool { return len(p.merging) > 0 && p.source != p.merging[0] }

// matters reports whether anything further down may need mending: one layer
// alone hides nothing, but may show its whiteouts.
func (p place) matters(n *node) bool {
	return len(p.merging) > 1 || len(p.merging) == 1 && n.whiteouts
}

// place finds what merges at n, in the layers that merge at its parent. An
// invented directory that is opaque hides the content of those below, and not
// what they say of the directory itself: the marker removes what is in it.
func (n *node) place(parents []int) place {
	here := place{source: -1}
	hidden := false
	for i, p := range n.found {
		if !among(parents, p.layer) {
			continue
		}
		if p.kind == whiteout || p.kind == other {
			break
		}
		if !hidden {
			here.merging = append(here.merging, p.layer)
		}
		if !p.implied {
			here.source = p.layer
			if p.kind != opaque && !hidden {
				// Only the content below still counts.
				here.merging = append(here.merging, n.merging(parents, i+1)...)
			}
			return here
		}
		if p.remade {
			break
		}
		hidden = hidden || p.kind == opaque
	}
	return here.orTopmost()
}

// merging finds which layers merge their content at n, among those that merge
// at its parent; from is the first of found that counts.
func (n *node) merging(parents []int, from int) []int {
	var layers []int
	for _, p := range n.found[from:] {
		if !among(parents, p.layer) {
			continue
		}
		if p.kind == whiteout || p.kind == other {
			break
		}
		layers = append(layers, p.layer)
		if p.kind == opaque {
			break
		}
	}
	return layers
}

// orTopmost takes the invented metadata where there is no other.
func (p place) orTopmost() place {
	if p.source < 0 && len(p.merging) > 0 {
		p.source = p.merging[0]
	}
	return p
}

// fill makes below the directory at what is needed of the tree n, which
// stands for path, and reports whether path itself or something below it is.
func (s *Survey) fill(at int, path string, n *node, here place) (bool, error) {
	needed := here.masked() || len(here.merging) == 1 && n.of(here.merging[0]).whiteouts
	if !here.matters(n) {
		return needed, nil
	}
	names := make([]string, 0, len(n.children))
	for name, child := range n.children {
		if child.mend {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		child := join(path, name)
		below := n.children[name].place(here.merging)
		if !below.matters(n.children[name]) && !below.masked() {
			continue
		}
		made, err := s.child(at, name, child, n.children[name], below)
		if err != nil {
			return false, err
		}
		needed = needed || made
	}
	return needed, nil
}

// child makes what is needed at path: a whiteout for a directory that is not,
// else the directory.
func (s *Survey) child(at int, name, path string, n *node, here place) (bool, error) {
	for _, i := range here.merging {
		if !n.of(i).phantom {
			return s.fillChild(at, name, path, n, here)
		}
	}
	if err := unix.Mknodat(at, name, unix.S_IFCHR, 0); err != nil {
		return false, fmt.Errorf("make whiteout %s: %w", path, err)
	}
	return true, nil
}

// fillChild makes the directory, and takes it away again when nothing at or
// below it needs mending.
func (s *Survey) fillChild(at int, name, path string, n *node, here place) (bool, error) {
	if err := unix.Mkdirat(at, name, 0o700); err != nil {
		return false, fmt.Errorf("make directory %s: %w", path, err)
	}
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, fmt.Errorf("open directory %s: %w", path, err)
	}
	defer unix.Close(fd)
	needed, err := s.fill(fd, path, n, here)
	switch {
	case err != nil:
		return false, err
	case needed:
		return true, s.restore(fd, path, here)
	}
	if err := unix.Unlinkat(at, name, unix.AT_REMOVEDIR); err != nil {
		return false, fmt.Errorf("remove directory %s: %w", path, err)
	}
	return false, nil
}

// restore gives the directory its true metadata; after its children are made,
// since that changes its time.
func (s *Survey) restore(to int, path string, here place) error {
	if here.source < 0 {
		return errors.New("no layer has a root directory")
	}
	from, err := reopen(s.layers[here.source].Lower, path)
	if err != nil {
		return err
	}
	defer unix.Close(from)
	if err := s.marks.copyMetadata(from, to); err != nil {
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
