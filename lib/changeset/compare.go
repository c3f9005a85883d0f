package changeset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/mtree"
)

// Rootfs compares a root filesystem with its manifest. What opt.Previous knows
// to be untouched is not read; of the rest, content is read and hashed when
// size, mode, owner and time are those of the manifest, for all these can be
// set back.
func Rootfs(ctx context.Context, path string, manifest Manifest, opt Options) (*Tree, error) {
	in, err := manifest.Open()
	if err != nil {
		return nil, err
	}
	root, err := openRoot(path)
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	t := &Tree{stack: []*directory{root}}
	c := &comparison{
		walker:     walker{tree: t, mask: opt.masked(), litter: newPathSet(opt.Litter)},
		ctx:        ctx,
		hashers:    newHashers(),
		candidates: make(map[inode][]*Node),
	}
	err = c.run(root, in, parseSnapshot(opt.Previous, manifest.SHA256))
	err = errors.Join(err, c.hashers.finish(), in.Close())
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	c.join(t.Root)
	t.Root.prune()
	return t, nil
}

// comparison is one run of Rootfs. It reads manifest and tree side by side, and
// keeps only what differs.
type comparison struct {
	walker
	ctx      context.Context //nolint:containedctx // one comparison is one operation
	manifest *manifestReader
	hashers  *hashers
	// candidates are unchanged files with another link count than before.
	candidates map[inode][]*Node
}

func (c *comparison) run(root *directory, in io.Reader, old *snapshotDir) error {
	var rec *mtree.Entry
	var err error
	if c.manifest, rec, err = newManifestReader(in); err != nil {
		return err
	}
	st, err := statAt(root.fd, "")
	if err == nil {
		st, err = settle(root.fd, "", st)
	}
	if err != nil {
		return err
	}
	c.mount = st.Mount
	top := c.top(root, old)
	e := &entry{name: ".", stat: st}
	if c.tree.Root, err = c.metadata(top, rec, e, old.find(".")); err != nil {
		return err
	}
	return c.below(top, "", c.tree.Root, []entry{*e})
}

// below compares the children of the directory path, whose own entry has been
// read. The manifest gives the order; names that it lacks are new.
func (c *comparison) below(p *place, path string, node *Node, extra []entry) error {
	if err := c.ctx.Err(); err != nil {
		return context.Cause(c.ctx)
	}
	entries, err := c.list(p)
	if err != nil {
		return err
	}
	index := make(map[string]int, len(entries))
	for i := range entries {
		index[entries[i].name] = i
	}
	for {
		rec, name, err := c.manifest.child(path)
		if err != nil {
			return err
		}
		if rec == nil {
			break
		}
		var e *entry
		if i, ok := index[name]; ok {
			e = &entries[i]
			delete(index, name)
		}
		child, err := c.one(p, rec, name, e)
		if err != nil {
			return err
		}
		if child != nil {
			node.Children = append(node.Children, child)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(index)) {
		child, err := c.add(p, &entries[index[name]])
		if err != nil {
			return err
		}
		if child == nil {
			node.litter = true
			continue
		}
		node.Children = append(node.Children, child)
	}
	p.snap.record(append(extra, entries...))
	node.sort()
	return nil
}

// one compares an entry of the manifest with what is there now; nil when
// nothing changed.
func (c *comparison) one(p *place, rec *mtree.Entry, name string, e *entry) (*Node, error) {
	switch {
	case p.mask.holds(name):
		return nil, c.manifest.skip(rec.Path)
	case e == nil:
		return &Node{Name: name, Kind: Deleted}, c.manifest.skip(rec.Path)
	case e.stat.Type() != manifestTypes[rec.Type]:
		return c.replaced(p, rec, e)
	}
	node, err := c.metadata(p, rec, e, p.old.find(e.name))
	if err != nil {
		return nil, err
	}
	if rec.Type == mtree.Dir {
		return node, c.directory(p, rec, e, node)
	}
	// The kind of a file that is being hashed belongs to the hashers.
	if !node.hashed && !node.candidate && node.Kind == Unchanged {
		return nil, nil
	}
	return node, nil
}

// manifestTypes are the file types that the manifest tells.
var manifestTypes = map[mtree.Type]uint32{
	mtree.File: unix.S_IFREG, mtree.Dir: unix.S_IFDIR, mtree.Symlink: unix.S_IFLNK, mtree.Fifo: unix.S_IFIFO,
	mtree.Char: unix.S_IFCHR, mtree.Block: unix.S_IFBLK, mtree.Socket: unix.S_IFSOCK,
}

func (c *comparison) directory(p *place, rec *mtree.Entry, e *entry, node *Node) error {
	if c.foreign(p, e) {
		return c.manifest.skip(rec.Path)
	}
	sub, err := p.child(e)
	if err != nil {
		return err
	}
	return errors.Join(c.below(sub, rec.Path, node, nil), sub.leave())
}

// replaced makes the node of a path that has another type than before.
func (c *comparison) replaced(p *place, rec *mtree.Entry, e *entry) (*Node, error) {
	if err := c.manifest.skip(rec.Path); err != nil {
		return nil, err
	}
	node, err := c.add(p, e)
	if err != nil {
		return nil, err
	}
	if node == nil {
		return &Node{Name: e.name, Kind: Deleted}, nil
	}
	node.Kind, node.replaced = Changed, true
	return node, nil
}

// join makes an unchanged file a change when another name of it is in the
// layer: so the layer holds one copy with all its names, and depends on no
// other layer for the link.
func (c *comparison) join(n *Node) {
	if n.Kind == Added || n.Kind == Changed {
		key := inode{n.Stat.Dev, n.Stat.Ino}
		for _, other := range c.candidates[key] {
			if other.Kind == Unchanged {
				other.Kind = Changed
			}
		}
	}
	for _, child := range n.Children {
		c.join(child)
	}
}

// metadata compares all but the content, which it gives to the hashers when
// nothing else differs. node.content tells that more than the time differs.
func (c *comparison) metadata(p *place, rec *mtree.Entry, e *entry, old *Stat) (*Node, error) {
	node := &Node{Name: e.name, Stat: e.stat}
	if rec.Type != mtree.Dir && rec.NLink != 0 && rec.NLink != e.stat.Nlink {
		c.tree.relinked(p.directory, e)
		key := inode{e.stat.Dev, e.stat.Ino}
		c.candidates[key], node.candidate = append(c.candidates[key], node), true
	}
	if untouched(old, &e.stat) {
		return node, nil
	}
	sameTime := rec.MTime == e.stat.Mtime.Sec
	sameOther, err := c.sameOther(p, rec, e)
	if err != nil {
		return nil, err
	}
	if !sameTime || !sameOther {
		node.Kind, node.content = Changed, !sameOther
		return node, nil
	}
	if e.stat.Type() != unix.S_IFREG {
		return node, nil
	}
	if rec.NoSHA256 {
		return nil, fault.Refused("mtree manifest: %q has no sha256digest", e.name)
	}
	node.hashed, node.digest = true, rec.SHA256
	if e.stat.Size == 0 {
		if rec.SHA256 != emptyDigest {
			node.Kind, node.content = Changed, true
		}
		return node, nil
	}
	f, err := openRegular(p.directory, e.name, &node.Stat)
	if err != nil {
		return nil, err
	}
	c.hashers.jobs <- job{file: f, path: clip(p.join(e.name)), node: node, want: rec.SHA256}
	return node, nil
}

// sameOther compares mode, owner, size, link target and attributes. The size
// of a directory is the filesystem's affair, the mode of a link nobody's.
func (c *comparison) sameOther(p *place, rec *mtree.Entry, e *entry) (bool, error) {
	st := &e.stat
	switch {
	case rec.UID != st.UID || rec.GID != st.GID:
		return false, nil
	case rec.Type != mtree.Symlink && rec.Mode != st.Perm():
		return false, nil
	case rec.Type == mtree.File && rec.Size != st.Size:
		return false, nil
	case (rec.Type == mtree.Char || rec.Type == mtree.Block) && rec.Major|rec.Minor != 0 && (rec.Major != st.Major || rec.Minor != st.Minor):
		return false, nil
	case rec.Type == mtree.Symlink:
		target, err := readLink(p.directory, e.name)
		return target == rec.Link, err
	case rec.Type != mtree.File && rec.Type != mtree.Dir:
		return true, nil
	}
	now, err := p.xattrs(e.name)
	if err != nil {
		return false, p.changed(e.name, err)
	}
	then := make(map[string]string, len(rec.Xattrs))
	for _, x := range rec.Xattrs {
		if !hostXattrs[x.Name] {
			then[x.Name] = x.Value
		}
	}
	return maps.Equal(now, then), nil
}

// readLink reads the target of a symbolic link.
func readLink(d *directory, name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := retry(func() (int, error) { return unix.Readlinkat(d.fd, name, buf) })
	if err != nil {
		return "", d.changed(name, fmt.Errorf("read link: %w", err))
	}
	return string(buf[:n]), nil
}
