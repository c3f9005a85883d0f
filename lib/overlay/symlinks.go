package overlay

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// ThroughSymlinks returns the index of the topmost layer with an entry behind
// a symlink that is in a layer below it, or -1. Applied to a tree, such an
// entry goes to where the link leads; in a stack, the invented directory
// takes the place of the link. So that layer cannot be stacked as it is.
func ThroughSymlinks(layers []Layer, userXattr bool) (int, error) {
	m := marksFor(userXattr)
	lowers := make([]Lower, len(layers))
	for i, l := range layers {
		lowers[i] = l.Lower
	}
	for i, l := range layers {
		below := all(len(layers))[i+1:]
		through, err := m.throughSymlink(lowers, below, l.Implied)
		if err != nil {
			return -1, err
		}
		if through {
			return i, nil
		}
	}
	return -1, nil
}

func (m marks) throughSymlink(layers []Lower, below []int, implied []string) (bool, error) {
	if len(below) == 0 {
		return false, nil
	}
	// Parents sort before their children.
	merging := map[string][]int{".": below}
	for _, path := range slices.Sorted(slices.Values(implied)) {
		parents := merging[parent(path)]
		if path == "." || len(parents) == 0 {
			continue
		}
		f, err := m.merge(layers, parents, path)
		if err != nil {
			return false, err
		}
		if f.kind == other && f.stat.Mode&unix.S_IFMT == unix.S_IFLNK {
			return true, nil
		}
		merging[path] = f.layers
	}
	return false, nil
}

func parent(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return "."
}
