package changeset

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
)

// Overlay names the directories of an overlay mount.
type Overlay struct {
	// Upper is the path of the upper directory.
	Upper string
	// Lowers are the layers below it, the topmost first, each opened as a
	// directory. They are the caller's, who may close them before the Tree.
	Lowers []*os.File
	// UIDMap and GIDMap are those of the mount: it shows the ids of the
	// lowers mapped, and has the upper's as they are.
	UIDMap, GIDMap idmap.Map
	// UserXattr tells that overlayfs keeps its marks in user.overlay.*.
	UserXattr bool
}

// Upper returns what the upper directory of an overlay changes. The upper must
// come from a mount with redirect_dir and metacopy off: only then does it hold
// all that changed. opt.Previous is the record of the last commit from the same
// upper; what it holds is left out, and what vanished since is deleted.
func Upper(ctx context.Context, o Overlay, opt Options) (*Tree, error) {
	t := &Tree{overlay: o.form()}
	root, err := openRoot(o.Upper)
	if err != nil {
		return nil, err
	}
	t.stack = []*directory{root}
	if err := t.openLowers(o.Lowers); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	u := &upperWalk{
		walker:  walker{tree: t, mask: opt.masked(), litter: newPathSet(opt.Litter)},
		ctx:     ctx,
		overlay: t.overlay,
	}
	lower := (&lowers{stack: t.stack[1:], overlay: t.overlay, uids: o.UIDMap, gids: o.GIDMap}).top()
	if err := u.run(root, parseSnapshot(opt.Previous, upperKey), lower); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	t.Root.prune()
	return t, nil
}

// upperKey is what the record of an upper belongs to.
const upperKey = "upper"

// form says which attributes are overlayfs's own.
func (o *Overlay) form() overlayForm {
	if o.UserXattr {
		return overlayForm{userOverlay}
	}
	return overlayForm{trustedOverlay}
}

// openLowers puts the layers under the tree's stack.
func (t *Tree) openLowers(lowers []*os.File) error {
	for _, f := range lowers {
		low, err := openLower(f)
		if err != nil {
			return err
		}
		t.stack = append(t.stack, low)
	}
	return nil
}

func openLower(f *os.File) (*directory, error) {
	fd, err := openDirAt(int(f.Fd()), ".")
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: f.Name(), Err: err}
	}
	return &directory{fd: fd}, nil
}

// upperWalk is one walk of an upper.
type upperWalk struct {
	walker
	ctx     context.Context //nolint:containedctx // one walk is one operation
	overlay overlayForm
}

// level is a directory of the upper with what lies below it.
type level struct {
	*place
	lower *lowerDir
}

func (u *upperWalk) run(root *directory, old *snapshotDir, lower *lowerDir) error {
	st, err := statAt(root.fd, "")
	if err == nil {
		st, err = settle(root.fd, "", st)
	}
	if err != nil {
		return err
	}
	u.mount = st.Mount
	top := u.top(root, old)
	u.tree.Root = &Node{Name: ".", Stat: st}
	if len(lower.layers) > 0 && !untouched(old.find("."), &st) {
		image := lower.of.stack[lower.layers[0]]
		same, timeOnly, err := u.sameAsLower(root.fd, &st, lower.of, image.fd)
		if err != nil {
			return err
		}
		if !same {
			u.tree.Root.Kind, u.tree.Root.content = Changed, !timeOnly
		}
	}
	return u.below(level{place: top, lower: lower}, u.tree.Root, []entry{{name: ".", stat: st}})
}

// below makes the nodes of a directory's entries.
func (u *upperWalk) below(l level, node *Node, extra []entry) error {
	if err := u.ctx.Err(); err != nil {
		return context.Cause(u.ctx)
	}
	entries, err := u.list(l.place)
	if err != nil {
		return err
	}
	kept := extra
	for i := range entries {
		child, litter, err := u.one(l, &entries[i])
		if err != nil {
			return err
		}
		if litter {
			node.litter = true
			continue
		}
		kept = append(kept, entries[i])
		if child != nil {
			node.Children = append(node.Children, child)
		}
	}
	l.snap.record(append(kept, l.masked()...))
	for _, was := range l.old.all() {
		_, there := slices.BinarySearchFunc(entries, was.name, func(e entry, name string) int { return cmp.Compare(e.name, name) })
		if there || was.name == "." || was.stat.recordedWhiteout() || l.mask.holds(was.name) {
			continue
		}
		node.Children = append(node.Children, &Node{Name: was.name, Kind: Deleted})
	}
	node.sort()
	return nil
}

// masked returns what the old record has of masked names, and carries over all
// that it has below them: the image has it still.
func (l level) masked() []entry {
	var all []entry
	for _, was := range l.old.all() {
		if !l.mask.holds(was.name) {
			continue
		}
		all = append(all, was)
		if below := l.old.child(was.name); below != nil {
			l.snap.dirs = append(l.snap.dirs, below)
		}
	}
	return all
}

// one makes the node of an entry; nil when it changes nothing.
func (u *upperWalk) one(l level, e *entry) (node *Node, litter bool, err error) {
	xattrs, err := u.marks(l.place, e)
	if err != nil {
		return nil, false, err
	}
	old := l.old.find(e.name)
	if e.stat.isWhiteout() || u.overlay.mark(xattrs, "whiteout") != "" && e.stat.Type() == unix.S_IFREG && e.stat.Size == 0 {
		node, err := u.whiteout(l, e, old)
		return node, false, err
	}
	below, err := l.lower.find(e.name)
	if err != nil {
		return nil, false, err
	}
	node = &Node{Name: e.name, Stat: e.stat, Kind: Added}
	if below != nil || old != nil && !old.recordedWhiteout() {
		node.Kind = Changed
	}
	node.content = true
	if e.stat.IsDir() {
		err = u.directory(l, e, node, below, old, u.overlay.mark(xattrs, "opaque") == "y")
		return node, err == nil && below == nil && old == nil && l.litter.holds(e.name) && empty(node), err
	}
	if untouched(old, &e.stat) {
		return nil, false, nil
	}
	if old == nil {
		if below != nil {
			same, err := u.sameFile(l, e, below)
			if same || err != nil {
				return nil, false, err
			}
		} else if l.litter.holds(e.name) && empty(node) {
			return nil, true, nil
		}
	}
	return node, false, nil
}

// whiteout makes the node of a deletion; none for a name that the layers do
// not have, since a marker of nothing confuses other tools.
func (u *upperWalk) whiteout(l level, e *entry, old *Stat) (*Node, error) {
	if old != nil {
		if old.recordedWhiteout() {
			return nil, nil
		}
		return &Node{Name: e.name, Kind: Deleted}, nil
	}
	below, err := l.lower.find(e.name)
	if err != nil || below == nil {
		return nil, err
	}
	return &Node{Name: e.name, Kind: Deleted}, nil
}

// marks reads the attributes by which overlayfs could give an entry another
// meaning. A redirect or a metacopy file has its content elsewhere: with the
// options that oci-mount sets there is none, and a tar of it would be wrong.
func (u *upperWalk) marks(p *place, e *entry) (map[string]string, error) {
	if kind := e.stat.Type(); kind != unix.S_IFDIR && kind != unix.S_IFREG {
		return nil, nil
	}
	xattrs, err := p.xattrs(e.name)
	if err != nil {
		return nil, p.changed(e.name, err)
	}
	for _, prefix := range []string{trustedOverlay, userOverlay} {
		for _, name := range []string{"redirect", "metacopy"} {
			if _, ok := xattrs[prefix+name]; ok && slices.Contains(u.overlay, prefix) {
				return nil, fault.Hint(fault.Refused("%s carries %s%s: its content lies elsewhere", clip(p.join(e.name)), prefix, name),
					"mount with redirect_dir=off,metacopy=off, as oci-mount does, and make the change again")
			}
		}
	}
	return xattrs, nil
}

// directory fills the node of a directory of the upper.
func (u *upperWalk) directory(l level, e *entry, node *Node, below *found, old *Stat, opaque bool) error {
	if u.foreign(l.place, e) {
		node.Kind = Unchanged
		return nil
	}
	var lower *lowerDir
	merged := below != nil && below.dir != nil && !opaque
	if merged {
		lower = below.dir
	}
	remade := old != nil && old.IsDir() && !old.sameIdentity(&e.stat)
	switch {
	case old != nil && old.IsDir() && !remade:
		// Committed before, opaque mark included.
		if untouched(old, &e.stat) {
			node.Kind = Unchanged
		}
	case remade:
		node.Opaque = true
	case merged:
		same, timeOnly, err := u.unchanged(l, e, below)
		if err != nil {
			return err
		}
		node.content = !timeOnly
		if same {
			node.Kind = Unchanged
		}
	default:
		// The kernel marks every directory that is made in the mount; the
		// marker means something only above a directory.
		node.Opaque = opaque && below != nil && below.dir != nil
	}
	sub, err := l.child(e)
	if err != nil {
		return err
	}
	if remade {
		sub.old = nil
	}
	return errors.Join(u.below(level{place: sub, lower: lower}, node, nil), sub.leave())
}

// unchanged compares a directory that was copied up with the one below it.
func (u *upperWalk) unchanged(l level, e *entry, below *found) (same, timeOnly bool, err error) {
	parent, base, err := openParent(below.at.fd, below.path)
	if err != nil {
		return false, false, err
	}
	if parent != below.at.fd {
		defer unix.Close(parent)
	}
	fd, err := openDirAt(parent, base)
	if err != nil {
		return false, false, err
	}
	defer unix.Close(fd)
	up, err := openDirAt(l.fd, e.name)
	if err != nil {
		return false, false, l.changed(e.name, err)
	}
	defer unix.Close(up)
	return u.sameAsLower(up, &e.stat, below.of, fd)
}

// sameAsLower compares the metadata of two directories. timeOnly tells that
// at most the modification time differs.
func (u *upperWalk) sameAsLower(upper int, st *Stat, of *lowers, lower int) (same, timeOnly bool, err error) {
	low, err := statAt(lower, "")
	if err != nil {
		return false, false, err
	}
	of.shift(&low)
	if low.Perm() != st.Perm() || low.UID != st.UID || low.GID != st.GID {
		return false, false, nil
	}
	a, err := xattrsAt(upper, ".")
	if err != nil {
		return false, false, err
	}
	b, err := xattrsAt(lower, ".")
	if err != nil {
		return false, false, err
	}
	timeOnly = maps.Equal(u.overlay.strip(a), u.overlay.strip(b))
	return timeOnly && low.Mtime == st.Mtime, timeOnly, nil
}

// sameFile reports whether a file was copied up without any change, as opening
// it for writing does. Content is read only when all metadata agrees.
func (u *upperWalk) sameFile(l level, e *entry, below *found) (bool, error) {
	a, b := &e.stat, &below.stat
	// A new link copies the file up, too; all names of it go into the layer.
	if a.Nlink > 1 || a.Type() != unix.S_IFREG || a.Mode != b.Mode || a.UID != b.UID || a.GID != b.GID || a.Size != b.Size || a.Mtime != b.Mtime {
		return false, nil
	}
	parent, base, err := openParent(below.at.fd, below.path)
	if err != nil {
		return false, err
	}
	low := &directory{fd: parent}
	if parent != below.at.fd {
		defer unix.Close(parent)
	}
	x, err := l.xattrs(e.name)
	if err != nil {
		return false, l.changed(e.name, err)
	}
	y, err := low.xattrs(base)
	if err != nil || !maps.Equal(u.overlay.strip(x), u.overlay.strip(y)) {
		return false, err
	}
	f, err := openRegular(l.directory, e.name, a)
	if err != nil {
		return false, err
	}
	defer f.Close()
	g, err := openRegular(low, base, b)
	if err != nil {
		return false, err
	}
	defer g.Close()
	return equal(f, g)
}

func equal(f, g io.Reader) (bool, error) {
	a, b := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, errA := io.ReadFull(f, a)
		m, errB := io.ReadFull(g, b)
		if !bytes.Equal(a[:n], b[:m]) {
			return false, nil
		}
		if errA != nil || errB != nil {
			short := errors.Is(errA, io.EOF) || errors.Is(errA, io.ErrUnexpectedEOF)
			if short && errA == errB { //nolint:errorlint // both are io's own
				return true, nil
			}
			return false, errors.Join(errA, errB)
		}
	}
}
