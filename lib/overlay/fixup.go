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
func Fixup(dir string, layers []Layer, userXattr bool) (bool, error) {
	f := fixup{marks: marksFor(userXattr), layers: make([]Lower, len(layers)), implied: setsOf(layers, impliedOf), remade: setsOf(layers, remadeOf), whiteouts: setsOf(layers, whiteoutDirsOf), phantoms: setsOf(layers, phantomsOf)}
	wanted := &node{}
	for i, l := range layers {
		f.layers[i] = l.Lower
		if len(layers) > 1 { // one alone hides nothing
			for _, path := range l.Implied {
				wanted.add(path, false)
			}
		}
		for _, path := range l.WhiteoutDirs {
			wanted.add(path, true)
		}
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, fmt.Errorf("open fixup layer %s: %w", dir, err)
	}
	defer unix.Close(fd)
	root, err := f.look(all(len(layers)), ".")
	if err != nil {
		return false, err
	}
	needed, err := f.fill(fd, ".", wanted, root)
	if err == nil {
		err = f.restore(fd, ".", root)
	}
	if err != nil {
		return false, fmt.Errorf("make fixup layer %s: %w", dir, err)
	}
	return needed, nil
}

// setsOf returns for each layer the paths in one of its lists.
func setsOf(layers []Layer, list func(Layer) []string) []map[string]bool {
	sets := make([]map[string]bool, len(layers))
	for i, l := range layers {
		sets[i] = make(map[string]bool)
		for _, path := range list(l) {
			sets[i][path] = true
		}
	}
	return sets
}

func impliedOf(l Layer) []string      { return l.Implied }
func remadeOf(l Layer) []string       { return l.Remade }
func phantomsOf(l Layer) []string     { return l.Phantoms }
func whiteoutDirsOf(l Layer) []string { return l.WhiteoutDirs }

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

// node is a directory in the tree of all directories to be looked at.
type node struct {
	children map[string]*node
	// whiteouts are in the directory or further down.
	whiteouts bool
}

func (n *node) add(path string, whiteouts bool) {
	n.whiteouts = n.whiteouts || whiteouts
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
		n.whiteouts = n.whiteouts || whiteouts
	}
}

type fixup struct {
	marks                      marks
	layers                     []Lower
	implied, remade, whiteouts []map[string]bool
	phantoms                   []map[string]bool
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

// look finds what merges at path, in the layers that merge at its parent. An
// invented directory that is opaque hides the content of those below, and not
// what they say of the directory itself: the marker removes what is in it.
func (f *fixup) look(parents []int, path string) (place, error) {
	p := place{source: -1}
	hidden := false
	for _, i := range parents {
		k, _, err := f.marks.look(f.layers[i], path)
		switch {
		case err != nil:
			return place{}, err
		case k == absent:
			continue
		case k == whiteout, k == other:
			return p.orTopmost(), nil
		}
		if !hidden {
			p.merging = append(p.merging, i)
		}
		if !f.implied[i][path] {
			p.source = i
			if k != opaque && !hidden {
				// Only the content below still counts.
				more, err := f.content(parents, i, path)
				p.merging = append(p.merging, more...)
				return p, err
			}
			return p, nil
		}
		if f.remade[i][path] {
			return p.orTopmost(), nil
		}
		hidden = hidden || k == opaque
	}
	return p.orTopmost(), nil
}

// content finds which layers below i merge their content at path.
func (f *fixup) content(parents []int, i int, path string) ([]int, error) {
	found, err := f.marks.merge(f.layers, parents[slices.Index(parents, i)+1:], path)
	return found.layers, err
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
func (f *fixup) fill(at int, path string, n *node, here place) (bool, error) {
	needed := here.masked() || len(here.merging) == 1 && f.whiteouts[here.merging[0]][path]
	if !here.matters(n) {
		return needed, nil
	}
	names := make([]string, 0, len(n.children))
	for name := range n.children {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		child := join(path, name)
		below, err := f.look(here.merging, child)
		if err != nil {
			return false, err
		}
		if !below.matters(n.children[name]) && !below.masked() {
			continue
		}
		made, err := f.child(at, name, child, n.children[name], below)
		if err != nil {
			return false, err
		}
		needed = needed || made
	}
	return needed, nil
}

// child makes what is needed at path: a whiteout for a directory that is not,
// else the directory.
func (f *fixup) child(at int, name, path string, n *node, here place) (bool, error) {
	for _, i := range here.merging {
		if !f.phantoms[i][path] {
			return f.fillChild(at, name, path, n, here)
		}
	}
	if err := unix.Mknodat(at, name, unix.S_IFCHR, 0); err != nil {
		return false, fmt.Errorf("make whiteout %s: %w", path, err)
	}
	return true, nil
}

// fillChild makes the directory, and takes it away again when nothing at or
// below it needs mending.
func (f *fixup) fillChild(at int, name, path string, n *node, here place) (bool, error) {
	if err := unix.Mkdirat(at, name, 0o700); err != nil {
		return false, fmt.Errorf("make directory %s: %w", path, err)
	}
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, fmt.Errorf("open directory %s: %w", path, err)
	}
	defer unix.Close(fd)
	needed, err := f.fill(fd, path, n, here)
	switch {
	case err != nil:
		return false, err
	case needed:
		return true, f.restore(fd, path, here)
	}
	if err := unix.Unlinkat(at, name, unix.AT_REMOVEDIR); err != nil {
		return false, fmt.Errorf("remove directory %s: %w", path, err)
	}
	return false, nil
}

// restore gives the directory its true metadata; after its children are made,
// since that changes its time.
func (f *fixup) restore(to int, path string, here place) error {
	if here.source < 0 {
		return errors.New("no layer has a root directory")
	}
	from, err := reopen(f.layers[here.source], path)
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
