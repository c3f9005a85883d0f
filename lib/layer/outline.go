package layer

import (
	"context"
	"maps"
	"slices"
	"strings"
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
	// Placeholders are the files in place of devices, in the order of their
	// paths; with Options.NoDevices.
	Placeholders []OutlinePlaceholder
	// Attributes are the xattrs, and the owners that are one; with
	// Options.Rootless. Without root tar cannot set them on every file.
	Attributes []OutlineAttribute
	// Dependent is the highest layer with a hard link to a file of a lower
	// one, which it does not make by itself; -1 when there is none.
	Dependent int
	// Overwrites tells that a layer has two things at one path.
	Overwrites bool
	// HidesDevice tells that a layer has a device and something else at one
	// path, which tar would leave out together.
	HidesDevice bool
	// FollowsLinks tells that an entry goes through a symlink of the image.
	// A shell that did the same would leave the tree where the link does.
	FollowsLinks bool

	root *node
}

// Exists reports whether the merged tree has the path.
func (o *Outline) Exists(path string) bool {
	n := o.root
	for name := range strings.SplitSeq(path, "/") {
		if name == "." || n == nil {
			continue
		}
		if n.dir == nil {
			return false
		}
		n = n.dir.child(name)
	}
	return n != nil
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
	// Devices are its paths that get placeholders.
	Devices []string
}

// OutlineDir is a directory as it is in the end.
type OutlineDir struct {
	Path     string
	Mode     uint32
	UID, GID uint32
	MTime    time.Time
	Xattrs   []OutlineAttribute
	// Implied tells that no entry describes it.
	Implied bool
}

// OutlineFile is a file with setuid or setgid bits, or capabilities.
type OutlineFile struct {
	Path       string
	Mode       uint32
	Capability string // the attribute's value, "" for none
}

// OutlinePlaceholder is an empty file without permissions and its names.
type OutlinePlaceholder struct {
	Paths []string
	MTime time.Time
}

// OutlineAttribute is an xattr of what has this mode.
type OutlineAttribute struct {
	Path        string
	Dir         bool
	Mode        uint32
	Name, Value string
}

// Describe reads the layers as Unpack would, verifies them, and tells what
// they would do, without a file on the disk.
func Describe(ctx context.Context, src Source, layers []Layer, opt Options) (*Outline, error) {
	opt = opt.withDefaults()
	opt.Existing = false
	if err := check(layers); err != nil {
		return nil, err
	}
	o := &Outline{Layers: make([]Changes, len(layers)), Dependent: never}
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
	o.FollowsLinks, o.root = a.followed, a.root
	for i := range o.Layers {
		slices.Sort(o.Layers[i].Removed)
		slices.Sort(o.Layers[i].Devices)
	}
	placed := map[*inode]int{}
	uids, gids := map[uint32]bool{}, map[uint32]bool{}
	err := a.root.walkSorted(func(n *node, path string) error {
		uids[n.ino.uid], gids[n.ino.gid] = true, true
		o.privileges(n, path)
		o.placeholder(n, path, placed)
		if opt.Rootless {
			o.attributes(n, path)
		}
		if n.dir != nil {
			o.Dirs = append(o.Dirs, OutlineDir{
				Path: path, Mode: uint32(n.ino.mode), UID: n.ino.uid, GID: n.ino.gid, Implied: n.explicit == never,
				MTime: n.ino.mtime.time(), Xattrs: xattrsOf(n, path),
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

// placeholder notes a device that is none; placed is where each of them is.
func (o *Outline) placeholder(n *node, path string, placed map[*inode]int) {
	if n.ino.more().device == 0 {
		if n.explicit >= 0 {
			_, both := slices.BinarySearch(o.Layers[n.explicit].Devices, path)
			o.HidesDevice = o.HidesDevice || both
		}
		return
	}
	i, ok := placed[n.ino]
	if !ok {
		i = len(o.Placeholders)
		placed[n.ino] = i
		o.Placeholders = append(o.Placeholders, OutlinePlaceholder{MTime: n.ino.mtime.time()})
	}
	o.Placeholders[i].Paths = append(o.Placeholders[i].Paths, path)
}

// attributes notes the owner of the image, and the xattrs.
func (o *Outline) attributes(n *node, path string) {
	if owner := rootlessOwner(n.ino.uid, n.ino.gid); owner != "" && n.ino.keepsUserXattrs() {
		o.Attributes = append(o.Attributes, OutlineAttribute{
			Path: path, Dir: n.dir != nil, Mode: uint32(n.ino.mode), Name: RootlessXattr, Value: owner,
		})
	}
	o.Attributes = append(o.Attributes, xattrsOf(n, path)...)
}

func xattrsOf(n *node, path string) []OutlineAttribute {
	var all []OutlineAttribute
	for _, x := range n.ino.more().xattrs {
		if n.ino.keepsUserXattrs() || !strings.HasPrefix(x.name, "user.") {
			all = append(all, OutlineAttribute{Path: path, Dir: n.dir != nil, Mode: uint32(n.ino.mode), Name: x.name, Value: x.value})
		}
	}
	return all
}

// keepsUserXattrs: other kinds take none (xattr(7)).
func (ino *inode) keepsUserXattrs() bool { return ino.kind == flagRegular || ino.kind == flagDir }

func (t timespec) time() time.Time { return time.Unix(t.sec, int64(t.nsec)) }

// recorder is a store that notes what is removed, and what only root makes.
type recorder struct {
	nowhere
	outline *Outline
	tree    *applier
}

func (r *recorder) changes() *Changes { return &r.outline.Layers[r.tree.layer] }

func (r *recorder) file(n *node, _ *tarReader) error {
	if n.ino.more().device != 0 {
		r.changes().Devices = append(r.changes().Devices, n.path())
	}
	return nil
}

func (r *recorder) link(n, target *node) error {
	if target.ino.layer != r.tree.layer {
		r.outline.Dependent = max(r.outline.Dependent, int(r.tree.layer))
	}
	if target.ino.more().device != 0 {
		r.changes().Devices = append(r.changes().Devices, n.path())
	}
	return nil
}

// remove notes what came from lower layers, or stands among it. What this
// layer itself has made before is not there yet when the script removes.
func (r *recorder) remove(n *node) error {
	if n.touched == r.tree.layer {
		r.outline.Overwrites = true
		return nil
	}
	r.changes().Removed = append(r.changes().Removed, n.path())
	return nil
}
