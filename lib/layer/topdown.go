package layer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// errAwkward says that what the layers mean depends on what lower ones hold,
// which is not known yet: they have to be applied from the lowest.
var errAwkward = errors.New("the layers have to be applied from the lowest")

// planner applies layers from the highest to the lowest, so that each path is
// made once, in the form that it has in the end, and what a higher layer
// replaces or removes is never written.
//
// It knows the simple cases only, which are nearly all there are. Symlinks in
// the middle of a path, one path twice in a layer, and hard links to what was
// not written make it give up with errAwkward.
//
// A node without an inode is a ghost: a path that some layer has named, and
// that does not exist (yet).
type planner struct {
	*applier
	disk    *disk
	skipped int
	// links wait for the end of their layer, when their targets are there.
	links []pendingLink
}

type pendingLink struct{ n, target *node }

// place is where an entry's path leads.
type place struct {
	parent *node
	// hidden says that a higher layer hides what is in the parent.
	hidden bool
	// visible is the parent or, above it, the last directory that no
	// higher layer hides: an entry makes it exist, even if hidden itself.
	visible *node
}

func (p *planner) layerFrom(i int, r *tarReader) error {
	p.layer, p.ordinal, p.logical = int16(i), 0, 0
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			if err := p.makeLinks(); err != nil {
				return err
			}
		}
		if err != nil {
			p.sumUp(i)
			return err
		}
		if err := p.entry(e, r); err != nil {
			return fmt.Errorf("%q: %w", e.name, err)
		}
		p.ordinal++
	}
}

func (p *planner) entry(e *entry, r *tarReader) error {
	mark, target, err := p.parse(e)
	if err != nil {
		return err
	}
	dir := p.parts[:max(0, len(p.parts)-1)]
	switch {
	case mark == leftover:
		return nil
	case mark == whiteout:
		at, err := p.walk(dir)
		if err != nil {
			return err
		}
		p.ghost(at.parent, target).hide(p.layer)
		return nil
	case mark == opaque:
		return p.opaque(dir)
	case len(p.parts) == 0:
		return p.describeOnce(p.root, e)
	}
	at, err := p.walk(dir)
	if err != nil {
		return err
	}
	if err := p.make(at.visible); err != nil {
		return err
	}
	n := p.ghost(at.parent, p.parts[len(p.parts)-1])
	if n.seen == p.layer && (n.seenKind != flagDir || e.kind != flagDir) {
		return errAwkward // a path twice in a layer
	}
	hidden := at.hidden || n.hiddenBelow > p.layer
	switch e.kind {
	case flagDir:
		return p.directory(n, e, hidden)
	case flagHardlink:
		return p.hardlink(n, e, hidden)
	default:
		return p.file(n, e, r, hidden)
	}
}

// walk goes to the directory at parts, and makes ghosts of what no layer has
// named yet.
func (p *planner) walk(parts []string) (place, error) {
	at := place{parent: p.root, visible: p.root, hidden: p.root.opaqueBelow > p.layer}
	for _, name := range parts {
		n := p.ghost(at.parent, name)
		switch {
		case n.seen != p.layer:
			// Whether this is a directory, a lower layer may yet say.
			n.walked = p.layer
		case n.seenKind != flagDir:
			return at, errAwkward
		}
		if n.dir == nil {
			n.dir = &directory{}
		}
		at.parent = n
		if at.hidden = at.hidden || n.hiddenBelow > p.layer; !at.hidden {
			at.visible = n
		}
		at.hidden = at.hidden || n.opaqueBelow > p.layer
	}
	return at, nil
}

// ghost returns the child of that name.
func (p *planner) ghost(parent *node, name string) *node {
	if n := parent.dir.child(name); n != nil {
		return n
	}
	n := &node{name: strings.Clone(name), parent: parent, touched: never, explicit: never, planned: newPlanned()}
	parent.dir.add(n)
	return n
}

// hide hides the path, and what is below it, from lower layers.
func (n *node) hide(layer int16) { n.hiddenBelow = max(n.hiddenBelow, layer) }

func (p *planner) opaque(dir []string) error {
	at, err := p.walk(dir)
	if err != nil {
		return err
	}
	if err := p.make(at.visible); err != nil {
		return err
	}
	at.parent.opaqueBelow = max(at.parent.opaqueBelow, p.layer)
	return nil
}

// make makes the directory and those above it, as implied ones.
func (p *planner) make(n *node) error {
	var chain []*node
	for ; n.ino == nil; n = n.parent {
		chain = append(chain, n)
	}
	for i := len(chain) - 1; i >= 0; i-- {
		n := chain[i]
		n.ino = &inode{kind: flagDir, nlink: 1}
		if n.dir == nil {
			n.dir = &directory{}
		}
		n.imply()
		if err := p.disk.mkdir(n); err != nil {
			return err
		}
	}
	return nil
}

// notice remembers what this layer has at the path.
func (n *node) notice(layer int16, kind byte) {
	n.seen, n.seenKind = layer, kind
	if n.walked > layer {
		n.walked = never // what higher layers went through is decided here
	}
}

func (p *planner) directory(n *node, e *entry, hidden bool) error {
	n.notice(p.layer, flagDir)
	if n.dir == nil && n.ino == nil {
		n.dir = &directory{}
	}
	if hidden {
		return p.mapIDs(e)
	}
	if err := p.make(n); err != nil {
		return err
	}
	return p.describeOnce(n, e)
}

// describeOnce takes the metadata of the highest layer that describes the
// directory, and in it of the last entry.
func (p *planner) describeOnce(n *node, e *entry) error {
	if n.parent == nil && e.kind != flagDir {
		return fault.Refused("the entry for the root is not a directory")
	}
	if n.explicit != never && n.explicit != p.layer {
		return p.mapIDs(e)
	}
	return p.describe(n, e)
}

// file makes what is not a directory. A directory of a higher layer in its
// place hides it; it in turn hides what still lower layers have below.
func (p *planner) file(n *node, e *entry, r *tarReader, hidden bool) error {
	if n.walked == p.layer || e.kind == flagSymlink && n.walked != never {
		return errAwkward
	}
	n.notice(p.layer, e.kind)
	made := n.ino != nil
	n.hide(p.layer)
	if err := p.admit(e); err != nil {
		return err
	}
	if hidden || made {
		p.skipped++
		return nil
	}
	n.dir = nil
	return p.fill(n, e, r)
}

func (p *planner) hardlink(n *node, e *entry, hidden bool) error {
	parts, err := splitName(e.link, nil)
	if err != nil || len(parts) == 0 {
		return errAwkward
	}
	at, err := p.walk(parts[:len(parts)-1])
	if err != nil {
		return err
	}
	target := at.parent.dir.child(parts[len(parts)-1])
	if target == nil || target == n || target.seen != p.layer || target.seenKind == flagDir || n.walked == p.layer || target.seenKind == flagSymlink && n.walked != never {
		return errAwkward // a lower layer's, or not there at all
	}
	n.notice(p.layer, target.seenKind)
	made := n.ino != nil
	n.hide(p.layer)
	if hidden || made {
		return nil
	}
	if target.ino == nil || target.ino.kind == flagDir || target.ino.layer != p.layer {
		return errAwkward // its contents went by
	}
	n.explicit, n.dir, n.ino = p.layer, nil, target.ino
	n.ino.nlink++
	p.links = append(p.links, pendingLink{n, target})
	return nil
}

func (p *planner) makeLinks() error {
	for _, l := range p.links {
		if err := p.disk.link(l.n, l.target); err != nil {
			return err
		}
	}
	p.links = p.links[:0]
	return nil
}

// prune takes the ghosts out of the tree.
func (p *planner) prune() {
	left := []*node{p.root}
	for len(left) > 0 {
		n := left[len(left)-1]
		left = left[:len(left)-1]
		var ghosts []*node
		for _, c := range n.dir.children {
			switch {
			case c.ino == nil:
				ghosts = append(ghosts, c)
			case c.ino.kind == flagDir:
				left = append(left, c)
			default:
				c.dir = nil // lower layers had a directory here
			}
		}
		for _, g := range ghosts {
			n.dir.drop(g)
		}
	}
}

// topDown applies the layers in one directory, from the highest.
func topDown(ctx context.Context, src Source, layers []Layer, dir string, opt Options) (*planner, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := &planner{applier: newApplier(ctx, opt, nil)}
	d, err := newDisk(ctx, dir, p.root, opt)
	if err != nil {
		return nil, err
	}
	defer d.close()
	p.ctx, p.store, p.disk = d.ctx, d, d
	order := make([]int, len(layers))
	for i := range order {
		order[i] = len(layers) - 1 - i
	}
	if err := eachLayer(d.ctx, d.cancel, src, layers, order, opt, d.flush, p.layerFrom); err != nil {
		return nil, err
	}
	p.prune()
	return p, p.finish(d)
}
