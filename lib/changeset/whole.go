package changeset

import (
	"errors"
)

// Whole returns the tree in which all of the directory is new.
func Whole(path string, opt Options) (*Tree, error) {
	root, err := openRoot(path)
	if err != nil {
		return nil, err
	}
	t := &Tree{stack: []*directory{root}}
	if err := t.addWhole(root, opt); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

func (t *Tree) addWhole(root *directory, opt Options) error {
	st, err := statAt(root.fd, "")
	if err != nil {
		return err
	}
	w := &walker{tree: t, mask: newPathSet(opt.Mask), litter: newPathSet(opt.Litter), mount: st.Mount}
	top := w.top(root, nil)
	t.Root = &Node{Name: ".", Kind: Added, Stat: st}
	entries, err := w.list(top)
	if err != nil {
		return err
	}
	for i := range entries {
		child, err := w.add(top, &entries[i])
		if err != nil {
			return err
		}
		if child != nil {
			t.Root.Children = append(t.Root.Children, child)
		}
	}
	return nil
}
