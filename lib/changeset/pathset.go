package changeset

import (
	"path"
	"strings"
)

// pathSet is a set of paths as a trie of components, so that a walk asks about
// one name at a time: "volume" matches neither "volumetest" nor "some/volume".
// The nil set is empty.
type pathSet struct {
	member   bool
	children map[string]*pathSet
}

// newPathSet takes absolute or relative paths, cleaned inside the root.
func newPathSet(paths []string) *pathSet {
	root := &pathSet{}
	for _, p := range paths {
		p = strings.TrimPrefix(path.Clean("/"+p), "/")
		if p == "" {
			continue
		}
		at := root
		for name := range strings.SplitSeq(p, "/") {
			if at.children == nil {
				at.children = make(map[string]*pathSet)
			}
			if at.children[name] == nil {
				at.children[name] = &pathSet{}
			}
			at = at.children[name]
		}
		at.member = true
	}
	return root
}

// child is the part of the set below name; nil when there is none.
func (s *pathSet) child(name string) *pathSet {
	if s == nil {
		return nil
	}
	return s.children[name]
}

// holds reports whether name itself is in the set.
func (s *pathSet) holds(name string) bool {
	c := s.child(name)
	return c != nil && c.member
}
