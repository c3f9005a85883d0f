package changeset

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
)

// WriteOptions say how the entries of a layer are made.
type WriteOptions struct {
	// Epoch, when set, is the latest modification time: newer ones are
	// clamped to it (SOURCE_DATE_EPOCH).
	Epoch *time.Time
	// UIDMap and GIDMap are those the rootfs was made with; owners are
	// mapped back.
	UIDMap, GIDMap idmap.Map
	// Devices are device nodes that are only empty files of mode 0 in the
	// rootfs, since whoever unpacked it could make no other; by path.
	Devices map[string]Device
	// Rootless takes owners from user.rootlesscontainers, which itself is
	// left out.
	Rootless bool
}

// WriteTar writes the tree as a layer. Equal trees give equal bytes: names are
// sorted; parents come before children; and in each directory the opaque
// marker comes first, then the whiteouts, then the rest. Every directory on
// the way to a change has its entry, so that no reader has to invent one.
func (t *Tree) WriteTar(ctx context.Context, out io.Writer, opt WriteOptions) error {
	w := &layerWriter{
		tree: t, ctx: ctx, tar: tar.NewWriter(out), opt: opt,
		links: make(map[inode]linked), buf: make([]byte, 256<<10),
	}
	if err := w.node(t.stack[0], t.Root, ""); err != nil {
		return err
	}
	if err := w.tar.Close(); err != nil {
		return fmt.Errorf("end layer: %w", err)
	}
	return nil
}

// Device is a device node that a rootfs lacks.
type Device struct {
	Block        bool
	Mode         uint32 // permission bits
	Major, Minor uint32
}

// inode identifies a file over all names. The number alone does not: a rootfs
// may span filesystems.
type inode struct{ dev, ino uint64 }

// linked is the first name in the layer of a file that has several.
type linked struct {
	path string
	node *Node
}

type layerWriter struct {
	tree  *Tree
	ctx   context.Context //nolint:containedctx // one writer writes one layer
	tar   *tar.Writer
	opt   WriteOptions
	links map[inode]linked
	buf   []byte
}

// node writes what the node is and all below it. dir is its parent, and for
// the root the root itself.
func (w *layerWriter) node(dir *directory, n *Node, path string) error {
	if err := w.ctx.Err(); err != nil {
		return context.Cause(w.ctx)
	}
	if !n.Stat.IsDir() {
		return w.file(dir, n, path)
	}
	self := dir
	if n != w.tree.Root {
		var err error
		if self, err = dir.enter(n.Name, &n.Stat); err != nil {
			return err
		}
	}
	err := w.directory(self, n, path)
	if self != dir {
		err = errors.Join(err, self.leave())
	}
	return err
}

func (w *layerWriter) directory(self *directory, n *Node, path string) error {
	// The root stands in every layer's tree; only what differs is written.
	if n != w.tree.Root || n.Kind != Unchanged {
		name := path
		if n == w.tree.Root {
			name = "./"
		}
		hdr, err := w.header(self, ".", n, name)
		if err != nil {
			return err
		}
		hdr.Typeflag = tar.TypeDir
		if err := w.write(hdr, name); err != nil {
			return err
		}
	}
	if n.Opaque {
		if err := w.whiteout(path + opaqueMarker); err != nil {
			return err
		}
	}
	for _, child := range n.Children {
		if child.Kind != Deleted {
			continue
		}
		if err := w.whiteout(path + whiteoutPrefix + child.Name); err != nil {
			return err
		}
	}
	for _, child := range n.Children {
		if child.Kind == Deleted {
			continue
		}
		name := path + child.Name
		if child.Stat.IsDir() {
			name += "/"
		}
		if err := w.node(self, child, name); err != nil {
			return err
		}
	}
	return nil
}

// whiteout writes a marker: an empty file with nothing that could vary.
func (w *layerWriter) whiteout(name string) error {
	return w.write(&tar.Header{Typeflag: tar.TypeReg, Name: name, ModTime: time.Unix(0, 0)}, name)
}

func (w *layerWriter) file(dir *directory, n *Node, path string) error {
	key := inode{n.Stat.Dev, n.Stat.Ino}
	if first, ok := w.links[key]; ok && n.Stat.Nlink > 1 {
		return w.hardLink(dir, n, path, first)
	}
	hdr, err := w.header(dir, n.Name, n, path)
	if err != nil {
		return err
	}
	if n.Stat.Type() == unix.S_IFLNK {
		if hdr.Linkname, err = readLink(dir, n.Name); err != nil {
			return err
		}
		n.link = hdr.Linkname
	}
	if device, ok := w.opt.Devices[path]; ok && n.Stat.Type() == unix.S_IFREG && n.Stat.Size == 0 && n.Stat.Perm() == 0 {
		return w.device(hdr, device)
	}
	// What was read by name must have been of the file that was compared.
	if st, err := statAt(dir.fd, n.Name); err != nil || !dir.widenings.same(&st, &n.Stat) {
		return dir.changed(n.Name, err)
	}
	switch n.Stat.Type() {
	case unix.S_IFREG:
		err = w.regular(dir, n, hdr, path)
	case unix.S_IFLNK:
		hdr.Typeflag = tar.TypeSymlink
		err = w.write(hdr, path)
	case unix.S_IFIFO:
		hdr.Typeflag = tar.TypeFifo
		err = w.write(hdr, path)
	case unix.S_IFCHR, unix.S_IFBLK:
		hdr.Typeflag = tar.TypeChar
		if n.Stat.Type() == unix.S_IFBLK {
			hdr.Typeflag = tar.TypeBlock
		}
		hdr.Devmajor, hdr.Devminor = int64(n.Stat.Major), int64(n.Stat.Minor)
		err = w.write(hdr, path)
	default:
		err = fault.Refused("%s has the file type %#o, which a layer cannot hold", clip(path), n.Stat.Type())
	}
	if n.Stat.Nlink > 1 {
		w.links[key] = linked{path, n}
	}
	return err
}

// device writes the node that an untouched placeholder stands for.
func (w *layerWriter) device(hdr *tar.Header, d Device) error {
	hdr.Typeflag = tar.TypeChar
	if d.Block {
		hdr.Typeflag = tar.TypeBlock
	}
	hdr.Mode, hdr.Devmajor, hdr.Devminor = int64(d.Mode), int64(d.Major), int64(d.Minor)
	return w.write(hdr, hdr.Name)
}

// hardLink writes a further name of a file that is in the layer already.
func (w *layerWriter) hardLink(dir *directory, n *Node, path string, first linked) error {
	st, err := statAt(dir.fd, n.Name)
	if err != nil || st.Dev != n.Stat.Dev || st.Ino != n.Stat.Ino {
		return dir.changed(n.Name, err)
	}
	n.digest, n.hashed, n.xattrs, n.link = first.node.digest, first.node.hashed, first.node.xattrs, first.node.link
	return w.write(&tar.Header{Typeflag: tar.TypeLink, Name: path, Linkname: first.path, Mode: int64(n.Stat.Perm()), ModTime: w.mtime(n)}, path)
}

func (w *layerWriter) regular(dir *directory, n *Node, hdr *tar.Header, path string) error {
	if n.Stat.Size == 0 {
		hdr.Typeflag, n.digest, n.hashed = tar.TypeReg, emptyDigest, true
		return w.write(hdr, path)
	}
	f, err := openRegular(dir, n.Name, &n.Stat)
	if err != nil {
		return err
	}
	hdr.Typeflag, hdr.Size = tar.TypeReg, n.Stat.Size
	sum := sha256.New()
	err = w.write(hdr, path)
	if err == nil {
		err = readSame(dir, n.Name, f, &n.Stat, io.MultiWriter(w.tar, sum), w.buf)
	}
	if err == nil {
		n.digest, n.hashed = [32]byte(sum.Sum(nil)), true
	}
	return errors.Join(err, f.Close())
}

func (w *layerWriter) write(hdr *tar.Header, path string) error {
	// ustar where it can say all, PAX where it cannot, and never GNU's form.
	hdr.Format = tar.FormatUSTAR | tar.FormatPAX
	if err := w.tar.WriteHeader(hdr); err != nil {
		return fmt.Errorf("%s: write layer: %w", clip(path), err)
	}
	return nil
}

// header makes the entry of what name in dir is; dir and "." for a directory.
func (w *layerWriter) header(dir *directory, name string, n *Node, path string) (*tar.Header, error) {
	uid, gid, xattrs, err := w.owner(dir, name, path, n)
	if err != nil {
		return nil, err
	}
	hdr := &tar.Header{Name: path, Mode: int64(n.Stat.Perm()), Uid: int(uid), Gid: int(gid), ModTime: w.mtime(n)}
	for key, value := range xattrs {
		if value == "" || strings.Contains(key, "=") {
			w.tree.Warnings = append(w.tree.Warnings, fmt.Sprintf("%s: attribute %q is empty or has an = in its name, which tar cannot hold: left out", clip(path), key))
			continue
		}
		if hdr.PAXRecords == nil {
			hdr.PAXRecords = make(map[string]string, len(xattrs))
		}
		hdr.PAXRecords["SCHILY.xattr."+key] = value
	}
	return hdr, nil
}

// mtime is in whole seconds, cut off as other tools do, and no later than the
// epoch.
func (w *layerWriter) mtime(n *Node) time.Time {
	t := time.Unix(n.Stat.Mtime.Sec, 0)
	if w.opt.Epoch != nil && t.After(*w.opt.Epoch) {
		return time.Unix(w.opt.Epoch.Unix(), 0)
	}
	return t
}

// owner returns the ids in the image, and the attributes that belong to it.
func (w *layerWriter) owner(dir *directory, name, path string, n *Node) (uid, gid uint32, xattrs map[string]string, err error) {
	if uid, err = w.opt.UIDMap.ToContainer(n.Stat.UID); err != nil {
		return 0, 0, nil, fmt.Errorf("%s: owner: %w", clip(path), err)
	}
	if gid, err = w.opt.GIDMap.ToContainer(n.Stat.GID); err != nil {
		return 0, 0, nil, fmt.Errorf("%s: group: %w", clip(path), err)
	}
	if xattrs, err = dir.xattrs(name); err != nil {
		return 0, 0, nil, dir.changed(name, err)
	}
	n.xattrs = maps.Clone(xattrs)
	xattrs = w.tree.imageXattrs(xattrs)
	if value, ok := xattrs[capabilityXattr]; ok {
		xattrs[capabilityXattr] = imageCapability(value, w.opt.UIDMap)
	}
	if len(w.opt.UIDMap)+len(w.opt.GIDMap) > 0 {
		for name, value := range xattrs {
			if !idmap.IsACL(name) {
				continue
			}
			if xattrs[name], err = idmap.MapACL(value, w.opt.UIDMap.ToContainer, w.opt.GIDMap.ToContainer); err != nil {
				return 0, 0, nil, fmt.Errorf("%s: attribute %s: %w", clip(path), name, err)
			}
		}
	}
	if w.opt.Rootless {
		if value, ok := xattrs[rootlessXattr]; ok {
			delete(xattrs, rootlessXattr)
			if uid, gid, err = rootlessOwner(value, uid, gid); err != nil {
				err = fmt.Errorf("%s: %w", clip(path), err)
			}
		}
	}
	return uid, gid, xattrs, err
}
