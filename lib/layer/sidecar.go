package layer

import (
	"slices"
)

// sidecar gathers what the directory alone does not tell. The paths are taken
// from nodes at the end, so that those of one branch share their memory.
func (a *applier) sidecar() *Sidecar {
	s := a.side
	s.RootOpaque = a.root.dir.opaque
	var implied, remade, whiteoutDirs, phantoms []*node
	isPhantom := make(map[*node]bool)
	_ = a.root.walk(func(n *node) error {
		s.Entries++
		switch {
		case n.dir != nil:
			if n.explicit == never {
				implied = append(implied, n)
				if n.dir.remade {
					remade = append(remade, n)
				}
			}
			if slices.ContainsFunc(n.dir.children, func(c *node) bool { return c.ino.kind == flagWhiteout }) {
				whiteoutDirs = append(whiteoutDirs, n)
			}
		case n.ino.kind == flagRegular:
			s.Bytes += n.ino.size
		}
		return nil
	}, func(n *node) error {
		if n.phantom(isPhantom) {
			isPhantom[n] = true
		}
		return nil
	})
	for _, n := range implied {
		if isPhantom[n] {
			phantoms = append(phantoms, n)
		}
	}
	s.Implied, s.Remade, s.WhiteoutDirs, s.Phantoms = sortedPaths(implied), sortedPaths(remade), sortedPaths(whiteoutDirs), sortedPaths(phantoms)
	slices.Sort(s.Late)
	return &s
}

func sortedPaths(nodes []*node) Paths {
	paths := pathsOf(nodes)
	slices.Sort(paths)
	return paths
}

// phantom reports whether a directory was invented for whiteouts alone, given
// which of its children were.
func (n *node) phantom(phantoms map[*node]bool) bool {
	if n.parent == nil || n.dir == nil || n.explicit != never || n.dir.marked {
		return false
	}
	for _, c := range n.dir.children {
		if c.ino.kind != flagWhiteout && !phantoms[c] {
			return false
		}
	}
	return true
}
