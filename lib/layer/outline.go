package layer

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
)

// Outline is what layers would do, for a script that does the same by hand.
type Outline struct {
	// Layers are the changes of each layer, lowest first.
	Layers []Changes
	// Dirs are the directories of the merged tree, in the order of their
	// paths, "." first.
	Dirs []OutlineDir
	// UIDs and GIDs are the owners in the image, sorted.
	UIDs, GIDs []uint32
	// Privileged are the files that lose something when their owner is
	// changed, in the order of their paths.
	Privileged []OutlineFile
	// NamesIDs tells that an ACL names users or groups.
	NamesIDs bool
	// FollowsLinks tells that an entry goes through a symlink of the image.
	// A shell that did the same would leave the tree where the link does.
	FollowsLinks bool
}

// Changes is what one layer does.
type Changes struct {
	// Removed are the paths of lower layers that it removes, or replaces by
	// something that is not of the same kind.
	Removed []string
	// Entries are its entries in their order.
	Entries []TraceEntry
	// Bytes is the size of its files.
	Bytes int64
}

// OutlineDir is a directory as it is in the end.
type OutlineDir struct {
	Path  string
	Mode  uint32
	MTime time.Time
	// Implied tells that no entry describes it.
	Implied bool
}

// OutlineFile is a file with setuid or setgid bits, or capabilities.
type OutlineFile struct {
	Path       string
	Mode       uint32
	Capability string // the attribute's value, "" for none
}

// Describe reads the layers as Unpack would, verifies them, and tells what
// they would do, without a file on the disk.
func Describe(ctx context.Context, src Source, layers []Layer, opt Options) (*Outline, error) {
	opt = opt.withDefaults()
	opt.Existing = false
	if err := check(layers); err != nil {
		return nil, err
	}
	o := &Outline{Layers: make([]Changes, len(layers))}
	opt.Trace = func(e TraceEntry) {
		c := &o.Layers[e.Layer]
		c.Entries = append(c.Entries, e)
		c.Bytes += e.Size
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &recorder{outline: o}
	a := newApplier(ctx, opt, r)
	r.tree = a
	if err := eachLayer(ctx, cancel, src, layers, upwards(layers), opt, func() {}, a.layerFrom); err != nil {
		return nil, err
	}
	o.FollowsLinks = a.followed
	for i := range o.Layers {
		slices.Sort(o.Layers[i].Removed)
	}
	uids, gids := map[uint32]bool{}, map[uint32]bool{}
	err := a.root.walkSorted(func(n *node, path string) error {
		uids[n.ino.uid], gids[n.ino.gid] = true, true
		o.privileges(n, path)
		if n.dir != nil {
			o.Dirs = append(o.Dirs, OutlineDir{
				Path: path, Mode: uint32(n.ino.mode), Implied: n.explicit == never,
				MTime: time.Unix(n.ino.mtime.sec, int64(n.ino.mtime.nsec)),
			})
		}
		return nil
	})
	o.UIDs, o.GIDs = slices.Sorted(maps.Keys(uids)), slices.Sorted(maps.Keys(gids))
	return o, err
}

func (o *Outline) privileges(n *node, path string) {
	f := OutlineFile{Path: path, Mode: uint32(n.ino.mode)}
	for _, x := range n.ino.more().xattrs {
		if x.name == "security.capability" {
			f.Capability = x.value
		}
		o.NamesIDs = o.NamesIDs || idmap.IsACL(x.name) && idmap.NamesIDs(x.value)
	}
	if n.ino.kind == flagRegular && (f.Mode&0o6000 != 0 || f.Capability != "") {
		o.Privileged = append(o.Privileged, f)
	}
}

// recorder is a store that notes what is removed.
type recorder struct {
	nowhere
	outline *Outline
	tree    *applier
}

// remove notes what came from lower layers, or stands among it. What this
// layer itself has made before is not there yet when the script removes.
func (r *recorder) remove(n *node) error {
	if n.touched == r.tree.layer {
		return nil
	}
	c := &r.outline.Layers[r.tree.layer]
	c.Removed = append(c.Removed, n.path())
	return nil
}
