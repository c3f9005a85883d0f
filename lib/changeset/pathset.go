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
		if p = strings.TrimPrefix(path.Clean("/"+p), "/"); p != "" {
			root.add(p)
		}
	}
	return root
}

// add puts a clean, relative path into the set.
func (s *pathSet) add(p string) {
	for name := range strings.SplitSeq(p, "/") {
		if s.children == nil {
			s.children = make(map[string]*pathSet)
		}
		if s.children[name] == nil {
			s.children[name] = &pathSet{}
		}
		s = s.children[name]
	}
	s.member = true
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
