package layer

import (
	"context"
	"fmt"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// applier applies the entries of layers, lowest layer first, to the tree in
// memory and to the store below it. One goroutine runs it.
type applier struct {
	ctx   context.Context
	opt   Options
	store store
	root  *node
	// overlay keeps whiteouts and opaque marks in the tree.
	overlay bool
	side    Sidecar

	layer   int16
	ordinal int32
	logical int64 // bytes of the files of this layer, holes included
	parts   []string
	totals  []Total

	// followed says that a path led through a symlink.
	followed bool

	// The directory of the entry before, as the archive wrote it: archives
	// are nearly always grouped. Empty after anything that may change where
	// a path leads.
	lastDir  string
	lastNode *node
}

// store is where the tree becomes files. Its calls may return before the
// work is done, but take effect in order.
type store interface {
	// mkdir makes the directory; its metadata is set at the end.
	mkdir(n *node) error
	// file makes a regular file from the body that the reader is at.
	file(n *node, r *tarReader) error
	// leaf makes a symlink, device or fifo.
	leaf(n *node) error
	// link gives the inode of target the name n.
	link(n, target *node) error
	// remove removes the name, and what is below it.
	remove(n *node) error
	// children reads what an existing directory holds.
	children(n *node) error
}

func newApplier(ctx context.Context, opt Options, s store) *applier {
	a := &applier{ctx: ctx, opt: opt, store: s, root: newDir(nil, ".")}
	a.root.imply()
	return a
}

// imply gives a directory without an entry the metadata that every run and
// every umask gives it.
func (n *node) imply() {
	n.ino.mode, n.ino.uid, n.ino.gid = 0o755, 0, 0
	n.ino.mtime = timespec{}
	n.ino.setXattrs(nil)
	n.explicit = never
}

// layerFrom applies the archive that r reads as layer i.
func (a *applier) layerFrom(i int, r *tarReader) error {
	a.layer, a.ordinal, a.logical = int16(i), 0, 0
	a.forget()
	for {
		e, err := r.Next()
		if err != nil {
			a.sumUp(i)
			return err
		}
		if err := a.entry(e, r); err != nil {
			return fmt.Errorf("%q: %w", e.name, err)
		}
		a.ordinal++
	}
}

// sumUp notes what the layer that was just read amounts to.
func (a *applier) sumUp(i int) {
	for len(a.totals) <= i {
		a.totals = append(a.totals, Total{})
	}
	a.totals[i] = Total{Entries: int(a.ordinal), Bytes: a.logical}
}

// forget drops the cached directory.
func (a *applier) forget() { a.lastDir, a.lastNode = "", nil }

// parse takes the name apart, into a.parts.
func (a *applier) parse(e *entry) (m marker, target string, err error) {
	if e.name == "" {
		return plain, "", fault.Refused("an entry without a name")
	}
	if a.parts, err = splitName(e.name, a.parts); err != nil {
		return plain, "", fault.As(fault.ErrRefused, err)
	}
	if m, target, err = classify(a.parts); err != nil {
		return plain, "", err
	}
	if m == leftover {
		a.opt.Warn("%s: skipped, it is bookkeeping of AUFS", e.name)
	}
	a.trace(e, m, target)
	return m, target, nil
}

func (a *applier) entry(e *entry, r *tarReader) error {
	mark, target, err := a.parse(e)
	if err != nil {
		return err
	}
	switch mark {
	case leftover:
		return nil
	case whiteout:
		return a.whiteout(a.parts[:len(a.parts)-1], target)
	case opaque:
		return a.opaque(a.parts[:len(a.parts)-1])
	}
	if len(a.parts) == 0 {
		if e.kind != flagDir {
			return fault.Refused("the entry for the root is not a directory")
		}
		return a.describe(a.root, e)
	}
	parent, err := a.parentOf(e.name)
	if err != nil {
		return err
	}
	// A clone, or the whole path would live as long as the node.
	base := strings.Clone(a.parts[len(a.parts)-1])
	switch e.kind {
	case flagDir:
		return a.directory(parent, base, e)
	case flagHardlink:
		return a.hardlink(parent, base, e)
	default:
		return a.leaf(parent, base, e, r)
	}
}

// parentOf returns the directory in which a.parts ends.
func (a *applier) parentOf(name string) (*node, error) {
	last := len(a.parts) - 1
	// "a/b/." is a/b: its directory is not what stands before the last slash.
	dir, grouped := strings.CutSuffix(strings.TrimRight(name, "/"), "/"+a.parts[last])
	if grouped && a.lastNode != nil && dir == a.lastDir {
		return a.lastNode, nil
	}
	parent, err := a.enter(a.parts[:last])
	if err == nil && grouped {
		a.lastDir, a.lastNode = dir, parent
	}
	return parent, err
}

// directory makes a directory, or describes the one that is there anew.
func (a *applier) directory(parent *node, base string, e *entry) error {
	n, err := a.child(parent, base)
	if err != nil {
		return err
	}
	if n != nil && n.ino.kind == flagSymlink && a.opt.KeepDirlinks {
		if to, err := a.find(a.parts); err == nil && to != nil && to.dir != nil {
			a.touch(n)
			return nil
		}
	}
	if n == nil || n.dir == nil {
		if n, err = a.replaceByDir(parent, base, n); err != nil {
			return err
		}
	}
	return a.describe(n, e)
}

// replaceByDir makes a directory where nothing or something else is. In overlay
// form that something is of the same layer, a whiteout or a file, and hides
// what lower layers have there: so the directory must be opaque.
func (a *applier) replaceByDir(parent *node, base string, old *node) (*node, error) {
	hides := a.overlay && old != nil
	if err := a.remove(old); err != nil {
		return nil, err
	}
	n := newDir(parent, base)
	n.imply()
	n.dir.opaque, n.dir.remade = hides, hides
	parent.dir.add(n)
	a.touch(n)
	return n, a.store.mkdir(n)
}

// describe gives a directory the metadata of the entry.
func (a *applier) describe(n *node, e *entry) error {
	if err := a.mapIDs(e); err != nil {
		return err
	}
	if a.overlay && n.explicit == never && len(n.dir.children) > 0 {
		a.side.Late = append(a.side.Late, n.path())
	}
	a.touch(n)
	n.explicit = a.layer
	n.ino.mode, n.ino.uid, n.ino.gid = e.mode, e.uid, e.gid
	n.ino.mtime = e.mtime
	n.ino.setXattrs(a.xattrs(e))
	return nil
}

// mapIDs refuses ids that the id maps do not hold, and maps those of ACLs. It is
// called once for an entry.
func (a *applier) mapIDs(e *entry) error {
	if _, err := a.opt.UIDMap.ToHost(e.uid); err != nil {
		return fmt.Errorf("owner: %w", err)
	}
	if _, err := a.opt.GIDMap.ToHost(e.gid); err != nil {
		return fmt.Errorf("group: %w", err)
	}
	return a.opt.mapACLs(e)
}

// leaf makes what is neither a directory nor a hard link. It is always a new
// inode: writing into the old one would change its other names.
func (a *applier) leaf(parent *node, base string, e *entry, r *tarReader) error {
	if err := a.admit(e); err != nil {
		return err
	}
	old, err := a.child(parent, base)
	if err != nil {
		return err
	}
	if err := a.remove(old); err != nil {
		return err
	}
	n := &node{name: base, parent: parent, touched: never}
	parent.dir.add(n)
	a.touch(n)
	return a.fill(n, e, r)
}

// admit checks what an entry asks for, whether it will be made or not.
func (a *applier) admit(e *entry) error {
	if err := a.mapIDs(e); err != nil {
		return err
	}
	if e.kind == flagChar && e.major == 0 && e.minor == 0 {
		return fault.Refused("a character device 0:0 is overlayfs's form of a whiteout, which no layer may hold")
	}
	if e.size > a.opt.MaxLayerBytes-a.logical {
		return fault.Refused("the files of the layer are more than %d bytes", a.opt.MaxLayerBytes)
	}
	a.logical += e.size
	return nil
}

// fill gives the name an inode made from the entry, which was admitted.
func (a *applier) fill(n *node, e *entry, r *tarReader) error {
	n.explicit = a.layer
	n.ino = &inode{
		kind: e.kind, mode: e.mode, uid: e.uid, gid: e.gid, nlink: 1, mtime: e.mtime,
		size: e.size, layer: a.layer, ordinal: a.ordinal,
	}
	n.ino.setXattrs(a.xattrs(e))
	switch e.kind {
	case flagSymlink:
		n.ino.mode, n.ino.size = 0o777, int64(len(e.link))
		n.ino.own().link = strings.Clone(e.link)
	case flagChar, flagBlock:
		more := n.ino.own()
		more.major, more.minor = e.major, e.minor
		if a.opt.NoDevices {
			more.device, more.deviceMode = e.kind, e.mode
			n.ino.kind, n.ino.mode = flagRegular, 0
		}
	}
	if n.ino.kind == flagRegular {
		return a.store.file(n, r)
	}
	return a.store.leaf(n)
}

// hardlink gives an inode one more name. The metadata in the header belongs
// to the inode's own entry.
func (a *applier) hardlink(parent *node, base string, e *entry) error {
	parts, err := splitName(e.link, nil)
	if err != nil {
		return fault.Refused("link target %q: %w", e.link, err)
	}
	target, err := a.linkTarget(parts)
	if err != nil {
		return fmt.Errorf("link target %q: %w", e.link, err)
	}
	switch {
	case target == nil && a.overlay:
		a.side.LowerLinks = append(a.side.LowerLinks, LowerLink{
			Path: strings.Join(a.parts, "/"), Target: strings.Join(parts, "/"),
		})
		return nil
	case target == nil:
		return fault.Refused("the target %q of the hard link is not there", e.link)
	case target.dir != nil:
		return fault.Refused("the target %q of the hard link is a directory", e.link)
	}
	old, err := a.child(parent, base)
	switch {
	case err != nil:
		return err
	case old == target:
		return fault.Refused("a hard link to itself")
	case old != nil && old.ino == target.ino:
		a.touch(old)
		return nil
	}
	for above := target.parent; above != nil; above = above.parent {
		if above == old {
			return fault.Refused("a hard link in place of the directory that holds its target %q", e.link)
		}
	}
	if err := a.remove(old); err != nil {
		return err
	}
	n := &node{name: base, parent: parent, ino: target.ino, touched: never, explicit: a.layer}
	n.ino.nlink++
	parent.dir.add(n)
	a.touch(n)
	return a.store.link(n, target)
}

// linkTarget finds what a hard link names: symlinks lead to the directory,
// the last component is taken as it is.
func (a *applier) linkTarget(parts []string) (*node, error) {
	if len(parts) == 0 {
		return a.root, nil
	}
	dir, err := a.find(parts[:len(parts)-1])
	if err != nil || dir == nil || dir.dir == nil {
		return nil, err
	}
	n, err := a.child(dir, parts[len(parts)-1])
	if err != nil || n == nil || n.ino.kind == flagWhiteout {
		return nil, err
	}
	return n, nil
}

// remove takes a name and what is below it out of the tree and the store.
func (a *applier) remove(n *node) error {
	if n == nil {
		return nil
	}
	if n.dir != nil || n.ino.kind == flagSymlink {
		a.forget()
	}
	n.parent.dir.drop(n)
	if n.ino.kind == flagWhiteout {
		return nil
	}
	if err := a.store.remove(n); err != nil {
		return err
	}
	return n.walk(func(m *node) error {
		m.ino.nlink--
		m.ino.identity = nil // where it has another name, that changed the ctime
		return nil
	}, nil)
}

// touch marks the node and all above it as named by this layer.
func (a *applier) touch(n *node) {
	for ; n != nil && n.touched != a.layer; n = n.parent {
		n.touched = a.layer
	}
}

func (a *applier) trace(e *entry, m marker, target string) {
	if a.opt.Trace == nil {
		return
	}
	t := TraceEntry{Layer: int(a.layer), Path: strings.Join(a.parts, "/"), Target: e.link, Size: e.size}
	dir := strings.Join(a.parts[:max(0, len(a.parts)-1)], "/")
	switch m {
	case leftover:
		t.Action = "skip"
	case whiteout:
		t.Action, t.Path, t.Target = "whiteout", strings.TrimPrefix(dir+"/"+target, "/"), ""
	case opaque:
		t.Action, t.Path, t.Target = "opaque", dir, ""
	default:
		t.Action = actions[e.kind]
	}
	a.opt.Trace(t)
}

// actions are the words of TraceEntry.
var actions = map[byte]string{
	flagRegular: "file", flagHardlink: "link", flagSymlink: "symlink", flagChar: "char",
	flagBlock: "block", flagDir: "dir", flagFifo: "fifo",
}
