package layer

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/oci-plumbing/oci-plumbing/lib/sparse"
)

// WriteTar writes the merged tree of the layers as one archive, without a
// file on the disk. The layers are read twice: once to find what is left in
// the end, and once for the contents.
//
// Directories come first, then what has no contents, then files in the order
// of the layers, then further names of hard links. Directories that hold
// something come once more at the end: GNU tar gives a directory its time when
// it first turns to another one. Sparse files are written in full. The same
// layers give the same bytes.
func WriteTar(ctx context.Context, src Source, layers []Layer, out io.Writer, opt Options) error {
	opt = opt.withDefaults()
	opt.Existing, opt.Rootless = false, false
	if err := check(layers); err != nil {
		return err
	}
	if err := opt.checkMaps(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a := newApplier(ctx, opt, nowhere{})
	nothing := func() {}
	err := eachLayer(ctx, cancel, src, layers, upwards(layers), opt, nothing, a.layerFrom)
	if err != nil {
		return err
	}
	opt.Progress = nil // it counts each blob once
	f := &flattener{tree: a, out: tar.NewWriter(out), files: make([]map[int32]*node, len(layers))}
	if err := f.begin(); err != nil {
		return err
	}
	err = eachLayer(ctx, cancel, src, layers, upwards(layers), opt, nothing, f.layerFrom)
	if err != nil {
		return err
	}
	return f.end()
}

// nowhere is a store for the tree alone.
type nowhere struct{}

func (nowhere) mkdir(*node) error                { return nil }
func (nowhere) file(_ *node, _ *tarReader) error { return nil }
func (nowhere) leaf(*node) error                 { return nil }
func (nowhere) link(_, _ *node) error            { return nil }
func (nowhere) remove(*node) error               { return nil }
func (nowhere) children(*node) error             { return nil }

// flattener writes a tree whose contents are in the layers.
type flattener struct {
	tree  *applier
	out   *tar.Writer
	files []map[int32]*node // by layer and ordinal
	links []link
}

// link is a further name of an inode.
type link struct{ path, target string }

// begin writes what has no contents, and finds where the contents are.
func (f *flattener) begin() error {
	first := make(map[*inode]string) // of inodes with several names
	var leaves []*node
	err := f.tree.root.walkSorted(func(n *node, path string) error {
		ino := n.ino
		if n.dir != nil {
			return f.header(n, path, tar.TypeDir)
		}
		if ino.nlink > 1 {
			if target, again := first[ino]; again {
				f.links = append(f.links, link{path, target})
				return nil
			}
			first[ino] = path
		}
		if ino.kind != flagRegular {
			leaves = append(leaves, n)
			return nil
		}
		if f.files[ino.layer] == nil {
			f.files[ino.layer] = make(map[int32]*node)
		}
		f.files[ino.layer][ino.ordinal] = n
		return nil
	})
	for _, n := range leaves {
		if err == nil {
			err = f.header(n, n.path(), n.ino.kind)
		}
	}
	return err
}

func (f *flattener) header(n *node, path string, kind byte) error {
	ino, more := n.ino, n.ino.more()
	uid, gid := f.tree.opt.owner(ino)
	h := &tar.Header{
		Typeflag: kind, Name: path, Linkname: more.link, Mode: int64(ino.mode), Uid: int(uid), Gid: int(gid),
		ModTime: time.Unix(ino.mtime.sec, int64(ino.mtime.nsec)), Format: tar.FormatPAX,
		Devmajor: int64(more.major), Devminor: int64(more.minor), PAXRecords: map[string]string{},
	}
	switch kind {
	case tar.TypeDir:
		h.Name += "/"
	case tar.TypeReg:
		h.Size = ino.size
	}
	for _, x := range more.xattrs {
		if x.value != "" { // PAX has no form for it
			h.PAXRecords[paxXattr+x.name] = x.value
		}
	}
	if err := f.out.WriteHeader(h); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// layerFrom writes the files that are left of one layer.
func (f *flattener) layerFrom(i int, r *tarReader) error {
	for ordinal := int32(0); ; ordinal++ {
		e, err := r.Next()
		if err != nil {
			return err
		}
		n := f.files[i][ordinal]
		if n == nil {
			continue
		}
		path := n.path()
		if err := f.header(n, path, tar.TypeReg); err != nil {
			return err
		}
		if err := f.body(r, e); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
}

// body copies the contents, and fills holes.
func (f *flattener) body(r *tarReader, e *entry) error {
	regions := e.regions
	if !e.sparse {
		regions = []region{{0, e.size}}
	}
	var at int64
	var p []byte
	for _, g := range regions {
		if err := f.fill(g.offset - at); err != nil {
			return err
		}
		for at = g.offset; at < g.offset+g.length; {
			if len(p) == 0 {
				var err error
				if p, err = r.body(); err != nil {
					return err
				}
			}
			n := min(int64(len(p)), g.offset+g.length-at)
			if _, err := f.out.Write(p[:n]); err != nil {
				return err
			}
			p, at = p[n:], at+n
		}
	}
	return f.fill(e.size - at)
}

func (f *flattener) fill(n int64) error {
	_, err := sparse.WriteZeros(f.out, n, nil)
	return err
}

// end writes the further names, and the end of the archive.
func (f *flattener) end() error {
	for _, l := range f.links {
		h := &tar.Header{Typeflag: tar.TypeLink, Name: l.path, Linkname: l.target, Format: tar.FormatPAX}
		if err := f.out.WriteHeader(h); err != nil {
			return fmt.Errorf("write %s: %w", l.path, err)
		}
	}
	err := f.tree.root.walk(nil, func(n *node) error {
		if n.dir == nil || len(n.dir.children) == 0 {
			return nil
		}
		return f.header(n, n.path(), tar.TypeDir)
	})
	if err != nil {
		return err
	}
	if err := f.out.Close(); err != nil {
		return fmt.Errorf("end the archive: %w", err)
	}
	return nil
}
