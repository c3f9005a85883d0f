package overlay

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// ThroughSymlinks returns the index of the topmost layer with an entry behind
// a symlink that is in a layer below it, or -1. Applied to a tree, such an
// entry goes to where the link leads; in a stack, the invented directory
// takes the place of the link. So that layer cannot be stacked as it is. Nor
// can one with a whiteout behind any file: it removes nothing from a tree, and
// hides the file in a stack.
func (s *Survey) ThroughSymlinks() int {
	for i, l := range s.layers {
		if s.through(i, slices.Concat(l.Implied, l.Late)) {
			return i
		}
	}
	return -1
}

// through reports whether one of the directories of layer i, which were there
// before they had an entry, is a symlink in the layers below.
func (s *Survey) through(i int, paths []string) bool {
	below := all(len(s.layers))[i+1:]
	if len(below) == 0 {
		return false
	}
	known := map[string][]int{".": below}
	for _, path := range paths {
		if path == "." {
			continue
		}
		parents := s.mergingBelow(known, parent(path))
		if len(parents) == 0 {
			continue
		}
		n := s.root.child(path)
		file := n.fileBelow(parents)
		if file == unix.S_IFLNK || file != 0 && n.of(i).phantom {
			return true
		}
	}
	return false
}

// mergingBelow finds which layers merge at path, of those that do at its
// parent.
func (s *Survey) mergingBelow(known map[string][]int, path string) []int {
	if layers, ok := known[path]; ok {
		return layers
	}
	layers := s.root.child(path).merging(s.mergingBelow(known, parent(path)), 0)
	known[path] = layers
	return layers
}

// fileBelow is the type of the file that the layers show, zero when there is
// none. A directory that is invented in a layer says nothing: it may hide the
// file.
func (n *node) fileBelow(parents []int) uint32 {
	for _, p := range n.found {
		switch {
		case !among(parents, p.layer):
			continue
		case p.kind == other:
			return p.file
		case p.kind == whiteout, p.kind == opaque, !p.implied:
			return 0
		}
	}
	return 0
}

func parent(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return "."
}
