package changeset

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// Options say what is left out of a comparison.
type Options struct {
	// Mask are paths whose whole subtree is neither added nor deleted,
	// "/var/lib/db": volumes, whose content is not the image's.
	Mask []string
	// Volumes are masked, too. Only a whole tree has what the image itself
	// has there.
	Volumes []string
	// Litter are paths that a runtime makes so that it can mount on them.
	// They are left out when they are new and empty.
	Litter []string
	// Previous is what an earlier Snapshot returned, or nil. What has not
	// been touched since then is not read.
	Previous []byte
}

// masked are the paths that a comparison leaves out.
func (o *Options) masked() *pathSet { return newPathSet(slices.Concat(o.Mask, o.Volumes)) }

// entry is one name of a directory.
type entry struct {
	name string
	stat Stat
}

// walker is the state that all comparisons share.
type walker struct {
	tree   *Tree
	mask   *pathSet
	litter *pathSet
	mount  uint64 // of the root
	// volumes and image are of a whole tree, for which nothing else tells
	// what is new.
	volumes *pathSet
	image   imageDir
}

// place is a directory in a walk, with what the sets say about it.
type place struct {
	*directory
	mask   *pathSet
	litter *pathSet
	snap   *snapshotDir // what is recorded now
	old    *snapshotDir // what was recorded before; nil when unknown
	// volumes, and whether this is in one; image is what the image has here.
	volumes  *pathSet
	inVolume bool
	image    imageDir
}

func (w *walker) top(root *directory, old *snapshotDir) *place {
	snap := &snapshotDir{}
	w.tree.snapshot = &snapshotWriter{root: snap}
	return &place{directory: root, mask: w.mask, litter: w.litter, snap: snap, old: old, volumes: w.volumes, image: w.image}
}

// child enters a subdirectory.
func (p *place) child(e *entry) (*place, error) {
	image, err := p.imageBelow(e.name)
	if err != nil {
		return nil, err
	}
	d, err := p.enter(e.name, &e.stat)
	if err != nil {
		return nil, err
	}
	snap := &snapshotDir{name: e.name}
	p.snap.dirs = append(p.snap.dirs, snap)
	return &place{
		directory: d, mask: p.mask.child(e.name), litter: p.litter.child(e.name),
		snap: snap, old: p.old.child(e.name),
		volumes: p.volumes.child(e.name), inVolume: p.inVolume || p.volumes.holds(e.name), image: image,
	}, nil
}

// list reads the entries of the directory that can be in a layer: all but
// sockets, which tar has no type for, and masked names.
func (w *walker) list(p *place) ([]entry, error) {
	names, err := p.names()
	if err != nil {
		return nil, err
	}
	entries := make([]entry, 0, len(names))
	for _, name := range names {
		out, err := p.leavesOut(name)
		if err != nil {
			return nil, err
		}
		if out {
			continue
		}
		st, err := statAt(p.fd, name)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err == nil {
			st, err = settle(p.fd, name, st)
		}
		if err != nil {
			return nil, p.changed(name, err)
		}
		if st.Type() == unix.S_IFSOCK {
			w.warn("%s is a socket, which a layer cannot hold: left out", clip(p.join(name)))
			continue
		}
		if strings.HasPrefix(name, whiteoutPrefix) {
			return nil, fault.Refused("%s: a name that begins with %q cannot be in a layer, where it would delete another file (image-spec layer.md)", clip(p.join(name)), whiteoutPrefix)
		}
		entries = append(entries, entry{name: name, stat: st})
	}
	return entries, nil
}

func (w *walker) warn(format string, args ...any) {
	w.tree.Warnings = append(w.tree.Warnings, fmt.Sprintf(format, args...))
}

// add makes the node of an entry that was not there before, with all below it.
// It returns nil for litter.
func (w *walker) add(p *place, e *entry) (*Node, error) {
	n := &Node{Name: e.name, Kind: Added, Stat: e.stat, content: true}
	if e.stat.IsDir() {
		if err := w.addBelow(p, e, n); err != nil {
			return nil, err
		}
	}
	if p.litter.holds(e.name) && empty(n) {
		// A mount target that the image has is no runtime's.
		if there, err := p.imageHas(e.name); !there || err != nil {
			return nil, err
		}
	}
	return n, nil
}

// empty reports whether the new node holds nothing: a target that a runtime
// made for a mount does not.
func empty(n *Node) bool {
	switch n.Stat.Type() {
	case unix.S_IFREG:
		return n.Stat.Size == 0
	case unix.S_IFDIR:
		return len(n.Children) == 0
	default:
		return false
	}
}

func (w *walker) addBelow(p *place, e *entry, n *Node) error {
	if w.foreign(p, e) {
		return nil
	}
	sub, err := p.child(e)
	if err != nil {
		return err
	}
	entries, err := w.list(sub)
	var kept []entry
	for i := 0; err == nil && i < len(entries); i++ {
		var child *Node
		if child, err = w.add(sub, &entries[i]); child != nil {
			n.Children = append(n.Children, child)
			kept = append(kept, entries[i])
		}
	}
	sub.snap.record(kept)
	return errors.Join(err, sub.leave())
}

// pseudoFilesystems hold no files of an image, and reading them may not end
// (statfs(2)).
var pseudoFilesystems = map[int64]string{
	unix.PROC_SUPER_MAGIC: "proc", unix.SYSFS_MAGIC: "sysfs", unix.CGROUP_SUPER_MAGIC: "cgroup",
	unix.CGROUP2_SUPER_MAGIC: "cgroup2", unix.DEVPTS_SUPER_MAGIC: "devpts", unix.DEBUGFS_MAGIC: "debugfs",
	unix.TRACEFS_MAGIC: "tracefs", unix.SECURITYFS_MAGIC: "securityfs", unix.BPF_FS_MAGIC: "bpf",
}

// foreign reports whether a kernel filesystem is mounted on the directory. Any
// other mount is part of what the user sees in the rootfs.
func (w *walker) foreign(p *place, e *entry) bool {
	if e.stat.Mount == w.mount {
		return false
	}
	fd, err := openDirAt(p.fd, e.name)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var fs unix.Statfs_t
	if unix.Fstatfs(fd, &fs) != nil {
		return false
	}
	kind, ok := pseudoFilesystems[fs.Type]
	if ok {
		w.warn("%s has a %s mounted on it: what is below is left out", clip(p.join(e.name)), kind)
	}
	return ok
}
