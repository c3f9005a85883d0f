package changeset

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Whole returns the tree in which all of the directory is new.
func Whole(path string, opt Options) (*Tree, error) { return whole(path, nil, opt) }

// WholeRootfs is Whole for a root filesystem with a manifest. What the manifest
// has is the image's: neither litter nor, below a volume, left out.
func WholeRootfs(path string, manifest Manifest, opt Options) (*Tree, error) {
	image, err := manifest.paths()
	if err != nil {
		return nil, err
	}
	return whole(path, image, opt)
}

// WholeOverlay is Whole for what an overlay shows at path. What the lowers have,
// and what opt.Previous tells to be committed, is the image's.
func WholeOverlay(path string, o Overlay, opt Options) (_ *Tree, err error) {
	below := &Tree{}
	defer func() { err = errors.Join(err, below.Close()) }()
	if err := below.openLowers(o.Lowers); err != nil {
		return nil, err
	}
	t, err := whole(path, &overlayImage{
		lower: (&lowers{stack: below.stack, overlay: o.form()}).top(),
		old:   parseSnapshot(opt.Previous, upperKey),
	}, opt)
	if err != nil {
		return nil, err
	}
	if t.merged = isOverlay(t.stack[0].fd); !t.merged {
		t.overlay = o.form() // a single layer as it is
	}
	return t, nil
}

// isOverlay reports whether a directory is on overlayfs.
func isOverlay(fd int) bool {
	var fs unix.Statfs_t
	return unix.Fstatfs(fd, &fs) == nil && fs.Type == unix.OVERLAYFS_SUPER_MAGIC
}

func whole(path string, image imageDir, opt Options) (*Tree, error) {
	root, err := openRoot(path)
	if err != nil {
		return nil, err
	}
	t := &Tree{stack: []*directory{root}}
	if err := t.addWhole(root, image, opt); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

func (t *Tree) addWhole(root *directory, image imageDir, opt Options) error {
	st, err := statAt(root.fd, "")
	if err != nil {
		return err
	}
	w := &walker{
		tree: t, mask: newPathSet(opt.Mask), litter: newPathSet(opt.Litter), mount: st.Mount,
		volumes: newPathSet(opt.Volumes), image: image,
	}
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
