package layer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/erofs"
)

// ErrNoImage is a layer that ExtractImage cannot write: one with a sparse
// file, whose body in the archive is not what the file holds, or with what
// erofs does not know. Extract it into a directory.
var ErrNoImage = errors.New("the layer cannot be an erofs image")

// ExtractImage makes one layer an erofs image in the empty file, in the form
// that overlayfs stacks. The archive is written into it as it is inflated, and
// the metadata behind it. The caller syncs.
func ExtractImage(ctx context.Context, src Source, l Layer, image *os.File, opt Options) (*Sidecar, error) {
	opt = opt.withDefaults()
	opt.Existing = false
	if err := check([]Layer{l}); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := &imageStore{body: body{fd: int(image.Fd())}, bodies: make(map[*inode]int64)}
	a := newApplier(ctx, opt, s)
	a.overlay = true
	err := eachLayer(ctx, cancel, src, []Layer{l}, []int{0}, opt, func() {}, func(i int, r *tarReader) error {
		s.tee(r)
		return a.layerFrom(i, r)
	})
	if err != nil {
		return nil, err
	}
	root, err := s.tree(a.root, opt.overlayNamespace())
	if err == nil {
		err = erofs.Write(image, s.size, root)
	}
	if errors.Is(err, erofs.ErrNotPossible) {
		err = fmt.Errorf("%w: %w", ErrNoImage, err)
	}
	if err != nil {
		return nil, err
	}
	return a.sidecar(), nil
}

// imageStore keeps the archive as it is, and remembers where bodies begin.
type imageStore struct {
	body
	size   int64 // of the archive so far
	bodies map[*inode]int64
}

// tee has every chunk that the parser takes written to the image.
func (s *imageStore) tee(r *tarReader) {
	next := r.next
	r.next = func(ctx context.Context) (*chunk, error) {
		c, err := next(ctx)
		if err != nil {
			return nil, err
		}
		if err := s.writeAt(c.buf[:c.n], erofs.Start+s.size); err != nil {
			c.release()
			return nil, fmt.Errorf("write image: %w", err)
		}
		s.size += int64(c.n)
		return c, nil
	}
}

// file leaves the body where it is.
func (s *imageStore) file(n *node, r *tarReader) error {
	if r.entry.sparse {
		return fmt.Errorf("%w: %s is sparse", ErrNoImage, n.path())
	}
	s.bodies[n.ino] = r.off
	return nil
}

func (s *imageStore) mkdir(*node) error     { return nil }
func (s *imageStore) leaf(*node) error      { return nil }
func (s *imageStore) link(_, _ *node) error { return nil }
func (s *imageStore) remove(*node) error    { return nil }
func (s *imageStore) children(*node) error  { return nil }

// tree turns the nodes into inodes of the image. Whiteouts in a directory that
// is opaque, or in one below it, hide nothing and are left out.
func (s *imageStore) tree(root *node, namespace string) (*erofs.Inode, error) {
	linked := make(map[*inode]*erofs.Inode) // those with more than one name
	var top *erofs.Inode
	var dirs []*erofs.Inode // from the root to where the walk is
	hidden := 0
	err := root.walk(func(n *node) error {
		if n.dir != nil && n.dir.opaque {
			hidden++
		}
		if n.ino.kind == flagWhiteout && hidden > 0 {
			return nil
		}
		i := linked[n.ino]
		if i == nil {
			i = s.inode(n, namespace)
			if n.ino.nlink > 1 {
				linked[n.ino] = i
			}
			if !storable(n.ino) {
				return fmt.Errorf("%w: %s has an attribute that the kernel checks", ErrNoImage, n.path())
			}
		}
		if n.parent == nil {
			top = i
		} else {
			parent := dirs[len(dirs)-1]
			parent.Entries = append(parent.Entries, erofs.Entry{Name: n.name, Inode: i})
		}
		if n.dir != nil {
			dirs = append(dirs, i)
		}
		return nil
	}, func(n *node) error {
		if n.dir != nil {
			dirs = dirs[:len(dirs)-1]
		}
		if n.dir != nil && n.dir.opaque {
			hidden--
		}
		return nil
	})
	return top, err
}

// storable reports whether the attributes are none that setxattr(2) would look
// into, and refuse when they are malformed. An image would show them as they
// are, so that layer goes into a directory.
func storable(ino *inode) bool {
	for _, x := range ino.more().xattrs {
		const v2, v3 = 20, 24 // sizes of struct vfs_cap_data
		malformed := x.name == "security.capability" && len(x.value) != v2 && len(x.value) != v3
		if malformed || strings.HasPrefix(x.name, "system.posix_acl_") {
			return false
		}
	}
	return true
}

func (s *imageStore) inode(n *node, namespace string) *erofs.Inode {
	more := n.ino.more()
	i := &erofs.Inode{
		Mode: uint32(n.ino.mode), UID: n.ino.uid, GID: n.ino.gid,
		Sec: n.ino.mtime.sec, Nsec: uint32(n.ino.mtime.nsec),
		Target: more.link, Major: more.major, Minor: more.minor,
	}
	for _, x := range more.xattrs {
		if strings.HasPrefix(x.name, "user.") && n.dir == nil && n.ino.kind != flagRegular {
			continue // no file system lets them be set, or shows them
		}
		i.Xattrs = append(i.Xattrs, erofs.Xattr{Name: x.name, Value: x.value})
	}
	switch n.ino.kind {
	case flagDir:
		i.Mode |= unix.S_IFDIR
		if n.dir.opaque {
			i.Xattrs = append(i.Xattrs, erofs.Xattr{Name: namespace + "opaque", Value: "y"})
		}
	case flagSymlink:
		i.Mode |= unix.S_IFLNK
	case flagChar:
		i.Mode |= unix.S_IFCHR
	case flagBlock:
		i.Mode |= unix.S_IFBLK
	case flagFifo:
		i.Mode |= unix.S_IFIFO
	case flagWhiteout:
		*i = erofs.Inode{Mode: unix.S_IFCHR}
	default:
		i.Mode |= unix.S_IFREG
		i.Size, i.Data = n.ino.size, s.bodies[n.ino]
	}
	return i
}
