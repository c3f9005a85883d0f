package layer

import (
	"errors"
	"slices"
	"strings"
)

// whiteout removes base as it came from lower layers. What this layer itself
// has there stays, whether its entry came before or comes after: the order in
// the archive says nothing (image-spec layer.md, "Whiteouts").
func (a *applier) whiteout(dir []string, base string) error {
	if a.overlay {
		return a.keepWhiteout(dir, base)
	}
	parent, err := a.find(dir)
	if err != nil || parent == nil {
		return err
	}
	n, err := a.child(parent, base)
	if err != nil || n == nil {
		return err
	}
	return a.cut(n)
}

// opaque removes what lower layers have in a directory.
func (a *applier) opaque(dir []string) error {
	parent, err := a.enter(dir)
	if err != nil {
		return err
	}
	if a.overlay {
		parent.dir.opaque, parent.dir.marked = true, true
		return nil
	}
	if _, err := a.child(parent, ""); err != nil { // reads an existing directory
		return err
	}
	for _, n := range slices.Clone(parent.dir.children) {
		if err := a.cut(n); err != nil {
			return err
		}
	}
	return nil
}

// cut removes what this layer has not named. A directory that stays only
// because this layer has something in it loses what lower layers said of it.
func (a *applier) cut(n *node) error {
	left := []*node{n}
	for len(left) > 0 {
		n := left[len(left)-1]
		left = left[:len(left)-1]
		switch {
		case n.touched != a.layer:
			if err := a.remove(n); err != nil {
				return err
			}
		case n.dir != nil:
			if n.explicit != a.layer {
				n.imply()
			}
			left = append(left, n.dir.children...)
		}
	}
	return nil
}

// errNoDirectory says that the layer has a file, or a whiteout, where it has a
// whiteout further down: that one has nothing left to remove.
var errNoDirectory = errors.New("not a directory")

// keepWhiteout puts the whiteout into the tree of a layer in overlay form.
// A directory of the same name hides what is below it instead.
func (a *applier) keepWhiteout(dir []string, base string) error {
	parent, err := a.resolve(dir, func(parent *node, name string, n *node) (*node, error) {
		if n != nil {
			return nil, errNoDirectory
		}
		return a.replaceByDir(parent, strings.Clone(name), nil)
	})
	if errors.Is(err, errNoDirectory) {
		return nil
	}
	if err != nil {
		return err
	}
	switch n := parent.dir.child(base); {
	case n == nil:
		n := &node{name: strings.Clone(base), parent: parent, touched: never, explicit: a.layer, ino: &inode{kind: flagWhiteout}}
		parent.dir.add(n)
		a.touch(n)
	case n.dir != nil:
		n.dir.opaque, n.dir.remade = true, true
	}
	return nil
}
