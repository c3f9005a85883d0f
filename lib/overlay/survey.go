package overlay

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Survey is what the layers of a stack hold at the directories of which one
// of them has left something unsaid. Each layer is walked once, for itself,
// so that the work grows with what the layers hold, and not with the number
// of layers times the number of directories.
type Survey struct {
	marks  marks
	layers []Layer
	root   *node
}

// NewSurvey walks the layers, the topmost first.
func NewSurvey(layers []Layer, userXattr bool) (*Survey, error) {
	s := &Survey{marks: marksFor(userXattr), layers: layers, root: &node{}}
	for i, l := range layers {
		s.note(i, l)
	}
	for i := range layers {
		if err := s.walk(i); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// note puts into the tree the directories that the notes on layer i name. One
// layer alone hides nothing, but may show its whiteouts.
func (s *Survey) note(i int, l Layer) {
	for _, path := range l.WhiteoutDirs {
		s.root.add(path, true, true).noteOf(i).whiteouts = true
	}
	if len(s.layers) > 1 {
		for _, path := range l.Implied {
			s.root.add(path, true, false).noteOf(i).implied = true
		}
		for _, path := range l.Late {
			s.root.add(path, false, false)
		}
	}
	for _, path := range l.Remade {
		if n := s.root.child(path); n != nil {
			n.noteOf(i).remade = true
		}
	}
	for _, path := range l.Phantoms {
		if n := s.root.child(path); n != nil {
			n.noteOf(i).phantom = true
		}
	}
}

// node is a directory in the tree of those to be looked at.
type node struct {
	children map[string]*node
	// mend: the directory, or one further down, may need to be mended.
	mend bool
	// whiteouts are in the directory or further down.
	whiteouts bool
	// notes are what layers say of it, found is what they have there; the
	// topmost first.
	notes []note
	found []presence
}

// note is what one layer left unsaid, as Layer lists it.
type note struct {
	layer                               int
	implied, remade, phantom, whiteouts bool
}

// presence is what one layer has at a path.
type presence struct {
	note
	kind kind
	// file is the type of what is no directory.
	file uint32
}

// add returns the node of path, made if need be.
func (n *node) add(path string, mend, whiteouts bool) *node {
	n.mend, n.whiteouts = n.mend || mend, n.whiteouts || whiteouts
	if path == "." {
		return n
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
		n.mend, n.whiteouts = n.mend || mend, n.whiteouts || whiteouts
	}
	return n
}

// noteOf returns the note of the layer, which is the last or a new one.
func (n *node) noteOf(layer int) *note {
	if len(n.notes) == 0 || n.notes[len(n.notes)-1].layer != layer {
		n.notes = append(n.notes, note{layer: layer})
	}
	return &n.notes[len(n.notes)-1]
}

// of returns what the layer says of the directory.
func (n *node) of(layer int) note {
	at, ok := slices.BinarySearchFunc(n.notes, layer, func(n note, layer int) int { return cmp.Compare(n.layer, layer) })
	if !ok {
		return note{layer: layer}
	}
	return n.notes[at]
}

// child returns the node of path below n, or nil.
func (n *node) child(path string) *node {
	if path == "." {
		return n
	}
	for name := range strings.SplitSeq(path, "/") {
		if n = n.children[name]; n == nil {
			return nil
		}
	}
	return n
}

// walk looks at the directories of the tree in one layer.
func (s *Survey) walk(i int) error {
	root, err := openRoot(s.layers[i].Lower)
	if err != nil {
		return err
	}
	defer unix.Close(root)
	return s.visit(i, anchor{fd: root}, ".", s.root)
}

// anchor is an open directory from which those below are reached. There is one
// for each maxReach levels: neither the paths nor the number of descriptors
// grow much with the depth, which a stranger chooses.
type anchor struct {
	fd    int
	depth int
}

const maxReach = 64

// visit looks at n, which is at path below the anchor, and at what is below.
func (s *Survey) visit(i int, at anchor, path string, n *node) error {
	l := s.layers[i].Lower
	k, st, err := s.marks.lookFrom(at.fd, l, path)
	if err != nil || k == absent {
		return err
	}
	n.found = append(n.found, presence{note: n.of(i), kind: k, file: st.Mode & unix.S_IFMT})
	if k != merging && k != opaque || len(n.children) == 0 {
		return nil
	}
	at.depth++
	if at.depth == maxReach {
		fd, err := openFrom(at.fd, l, path)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		at, path = anchor{fd: fd}, "."
	}
	names, err := n.wanted(at.fd, l, path)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := s.visit(i, at, join(path, name), n.children[name]); err != nil {
			return err
		}
	}
	return nil
}

// fewNames is how many names are looked up one by one, before it pays to read
// which of them the directory has.
const fewNames = 16

// wanted lists the children of n that the layer may have.
func (n *node) wanted(from int, l Lower, path string) ([]string, error) {
	names := make([]string, 0, min(len(n.children), fewNames))
	if len(n.children) <= fewNames {
		for name := range n.children {
			names = append(names, name)
		}
		return names, nil
	}
	at, err := openFrom(from, l, path)
	if err != nil {
		return nil, err
	}
	defer unix.Close(at)
	fd, err := unix.Openat(at, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s in layer %s: %w", path, l.Path, err)
	}
	dir := os.NewFile(uintptr(fd), path)
	defer dir.Close()
	present, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list %s in layer %s: %w", path, l.Path, err)
	}
	for _, name := range present {
		if n.children[name] != nil {
			names = append(names, name)
		}
	}
	return names, nil
}

// among reports whether the layer is one of those, which ascend.
func among(layers []int, layer int) bool {
	_, ok := slices.BinarySearch(layers, layer)
	return ok
}
