package changeset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/oci-plumbing/oci-plumbing/lib/mtree"
)

// WriteManifest writes the manifest of the rootfs as it was committed: what
// changed comes from the tree, as WriteTar has read it, all else from the old
// manifest. So the rootfs is not walked again, and what changes in it meanwhile
// is a change for the next commit.
func (t *Tree) WriteManifest(ctx context.Context, old Manifest, out io.Writer) (err error) {
	in, err := old.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	m, root, err := newManifestReader(in)
	if err != nil {
		return err
	}
	r := &refresher{ctx: ctx, old: m, out: mtree.NewWriter(out), nlinks: t.nlinks}
	if t.Root.Kind != Unchanged {
		root = t.Root.entry(".")
	}
	if err := r.out.Write(root); err != nil {
		return err
	}
	if err := r.below("", t.Root); err != nil {
		return err
	}
	return r.out.Flush()
}

// refresher merges the old manifest and the changes.
type refresher struct {
	ctx    context.Context //nolint:containedctx // one refresh is one operation
	old    *manifestReader
	out    *mtree.Writer
	nlinks map[string]uint32
}

// below writes what is in a directory: the manifest's order is files first,
// then directories, each sorted. changes is nil where nothing changed.
func (r *refresher) below(path string, changes *Node) error {
	if err := r.ctx.Err(); err != nil {
		return context.Cause(r.ctx)
	}
	fresh := changes.byName()
	var files []*mtree.Entry
	var dirs []*Node
	for _, n := range fresh {
		switch {
		case n.Kind == Added && n.isDir(), n.Kind == Changed && n.isDir() && n.replaced:
			dirs = append(dirs, n)
		case n.Kind != Unchanged && n.Kind != Deleted && !n.isDir():
			files = append(files, n.entry(join(path, n.Name)))
		}
	}
	slices.SortFunc(dirs, func(a, b *Node) int { return cmp.Compare(a.Name, b.Name) })
	flushed := false
	flush := func() error {
		if flushed {
			return nil
		}
		flushed = true
		slices.SortFunc(files, func(a, b *mtree.Entry) int { return cmp.Compare(a.Path, b.Path) })
		for _, e := range files {
			if err := r.out.Write(e); err != nil {
				return err
			}
		}
		return nil
	}
	for {
		e, name, err := r.old.child(path)
		if err != nil {
			return err
		}
		if e == nil {
			break
		}
		change := fresh[name]
		switch {
		case change != nil && (change.Kind == Deleted || change.replaced):
			if err := r.old.skip(e.Path); err != nil {
				return err
			}
		case e.Type != mtree.Dir && change == nil:
			if nlink, ok := r.nlinks[e.Path]; ok {
				e.NLink = nlink
			}
			if files = append(files, e); flushed {
				// A manifest of another order: this one comes late.
				err = r.out.Write(e)
			}
			if err != nil {
				return err
			}
		case e.Type == mtree.Dir:
			err := flush()
			for err == nil && len(dirs) > 0 && dirs[0].Name < name {
				err = r.added(path, dirs[0])
				dirs = dirs[1:]
			}
			if err == nil {
				err = r.directory(e, change)
			}
			if err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	for _, n := range dirs {
		if err := r.added(path, n); err != nil {
			return err
		}
	}
	return nil
}

func (r *refresher) directory(e *mtree.Entry, change *Node) error {
	path := e.Path
	if change != nil && change.Kind != Unchanged {
		e = change.entry(path)
	}
	if err := r.out.Write(e); err != nil {
		return err
	}
	return r.below(path, change)
}

// added writes a directory that the old manifest does not have.
func (r *refresher) added(parent string, n *Node) error {
	path := join(parent, n.Name)
	if err := r.out.Write(n.entry(path)); err != nil {
		return err
	}
	for _, wantDir := range []bool{false, true} {
		for _, child := range n.Children {
			var err error
			switch {
			case child.isDir() != wantDir:
			case wantDir:
				err = r.added(path, child)
			default:
				err = r.out.Write(child.entry(join(path, child.Name)))
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

func (n *Node) byName() map[string]*Node {
	if n == nil {
		return nil
	}
	all := make(map[string]*Node, len(n.Children))
	for _, c := range n.Children {
		all[c.Name] = c
	}
	return all
}

// entry is the node in a manifest.
func (n *Node) entry(path string) *mtree.Entry {
	s := &n.Stat
	e := &mtree.Entry{
		Path: path, Mode: s.Perm(), UID: s.UID, GID: s.GID, Size: s.Size, NLink: s.Nlink,
		MTime: s.Mtime.Sec, SHA256: n.digest, NoSHA256: !n.hashed, Link: n.link, Major: s.Major, Minor: s.Minor,
	}
	for kind, mode := range manifestTypes {
		if mode == s.Type() {
			e.Type = kind
		}
	}
	if e.Type != mtree.Dir && e.Type != mtree.File {
		return e
	}
	for _, name := range slices.Sorted(maps.Keys(n.xattrs)) {
		e.Xattrs = append(e.Xattrs, mtree.Xattr{Name: name, Value: n.xattrs[name]})
	}
	return e
}

// Record writes the record of the tree as it was compared. Key is the digest of
// the manifest that it belongs to, in hex; it is ignored for an upper.
func (t *Tree) Record(out io.Writer, key string) error {
	if t.overlay != nil {
		key = upperKey
	}
	if err := t.snapshot.encode(out, key); err != nil {
		return fmt.Errorf("record the state of the rootfs: %w", err)
	}
	return nil
}
