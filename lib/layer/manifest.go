package layer

import (
	"io"

	"github.com/oci-plumbing/oci-plumbing/lib/mtree"
)

// WriteManifest writes the mtree manifest of the tree as it lies on the disk:
// with the ids of the host. It reads nothing from the disk; the digests were
// taken while the files were written. The rootfs must have been made whole
// by this run (no Options.Existing), with Options.Digests.
func (r *Result) WriteManifest(out io.Writer) error {
	a := r.tree
	w := mtree.NewWriter(out)
	depth := 0
	err := a.root.walk(func(n *node) error {
		depth++
		return w.WriteAt(depth-1, n.name, a.manifestEntry(n))
	}, func(*node) error {
		depth--
		return nil
	})
	if err != nil {
		return err
	}
	return w.Flush()
}

var manifestTypes = map[byte]mtree.Type{
	flagDir: mtree.Dir, flagRegular: mtree.File, flagSymlink: mtree.Symlink,
	flagFifo: mtree.Fifo, flagChar: mtree.Char, flagBlock: mtree.Block,
}

func (a *applier) manifestEntry(n *node) *mtree.Entry {
	ino, more := n.ino, n.ino.more()
	e := &mtree.Entry{
		Type: manifestTypes[ino.kind], Mode: uint32(ino.mode),
		Size: ino.size, NLink: uint32(ino.nlink), SHA256: ino.digest, NoSHA256: !a.opt.Digests,
		MTime: ino.mtime.sec, Link: more.link, Major: more.major, Minor: more.minor,
	}
	e.UID, e.GID = a.opt.owner(ino)
	if ino.kind != flagDir && ino.kind != flagRegular {
		return e
	}
	for _, x := range more.xattrs {
		e.Xattrs = append(e.Xattrs, mtree.Xattr{Name: x.name, Value: x.value})
	}
	return e
}

// walkSorted visits the tree in the order of a manifest, and spares the
// visitor to put the path together anew for each node.
func (n *node) walkSorted(visit func(n *node, path string) error) error {
	var path []byte
	return n.walk(func(m *node) error {
		if m.parent != nil {
			if len(path) > 0 {
				path = append(path, '/')
			}
			path = append(path, m.name...)
		}
		if m.dir != nil {
			m.dir.sort()
		}
		if m.parent == nil {
			return visit(m, ".")
		}
		return visit(m, string(path))
	}, func(m *node) error {
		path = path[:max(0, len(path)-len(m.name)-1)]
		return nil
	})
}
