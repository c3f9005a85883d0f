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
func ThroughSymlinks(layers []Layer, userXattr bool) (int, error) {
	s := stacked{marks: marksFor(userXattr), layers: layers, implied: setsOf(layers, impliedOf), phantoms: setsOf(layers, phantomsOf)}
	for i, l := range layers {
		through, err := s.through(i, slices.Concat(l.Implied, l.Late))
		if err != nil {
			return -1, err
		}
		if through {
			return i, nil
		}
	}
	return -1, nil
}

type stacked struct {
	marks             marks
	layers            []Layer
	implied, phantoms []map[string]bool
}

// through reports whether one of the directories of layer i, which were there
// before they had an entry, is a symlink in the layers below.
func (s *stacked) through(i int, paths []string) (bool, error) {
	below := all(len(s.layers))[i+1:]
	if len(below) == 0 {
		return false, nil
	}
	// Parents sort before their children.
	merging := map[string][]int{".": below}
	for _, path := range slices.Sorted(slices.Values(paths)) {
		if path == "." {
			continue
		}
		parents, known := merging[parent(path)]
		if !known {
			// The parent has an entry of its own, which came first.
			var err error
			if parents, err = s.merging(below, parent(path)); err != nil {
				return false, err
			}
			merging[parent(path)] = parents
		}
		if len(parents) == 0 {
			continue
		}
		hit, layers, err := s.look(parents, path)
		if err != nil {
			return false, err
		}
		if hit == unix.S_IFLNK || hit != 0 && s.phantoms[i][path] {
			return true, nil
		}
		merging[path] = layers
	}
	return false, nil
}

// merging finds which of the layers merge at path.
func (s *stacked) merging(layers []int, path string) ([]int, error) {
	lowers := make([]Lower, len(s.layers))
	for i, l := range s.layers {
		lowers[i] = l.Lower
	}
	at := "."
	for name := range strings.SplitSeq(path, "/") {
		at = join(at, name)
		f, err := s.marks.merge(lowers, layers, at)
		if err != nil || len(f.layers) == 0 {
			return nil, err
		}
		layers = f.layers
	}
	return layers, nil
}

// look finds the type of the file, or the layers that merge, at path. A
// directory that is invented in a lower layer, too, says nothing: it may hide
// the file.
func (s *stacked) look(parents []int, path string) (file uint32, layers []int, err error) {
	described := false
	for _, i := range parents {
		k, st, err := s.marks.look(s.layers[i].Lower, path)
		switch {
		case err != nil:
			return 0, nil, err
		case k == other && described:
			return 0, layers, nil
		case k == other:
			return st.Mode & unix.S_IFMT, layers, nil
		case k == whiteout:
			return 0, layers, nil
		case k == merging, k == opaque:
			layers = append(layers, i)
			described = described || !s.implied[i][path]
			if k == opaque {
				return 0, layers, nil
			}
		}
	}
	return 0, layers, nil
}

func parent(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return "."
}
