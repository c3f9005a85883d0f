package layer

import (
	"slices"
	"strings"
	"sync/atomic"
)

// never is the layer of what no layer has named.
const never = -1

// node is a name in the tree that is being made. One goroutine owns all
// nodes, so they need no lock; name and parent never change.
type node struct {
	name   string
	parent *node
	ino    *inode
	dir    *directory // of a directory, else nil

	// touched is the layer that last named this path or one below it.
	touched int16
	// explicit is the layer whose entry describes it; never, for a
	// directory that exists only because something is in it.
	explicit int16
	planned
}

// planned is what applying from the highest layer needs to know of a path.
type planned struct {
	// hiddenBelow and opaqueBelow hide the path, or what is below it, from
	// the layers below that number.
	hiddenBelow, opaqueBelow int16
	// seen is the layer that last had an entry for the path, seenKind what
	// that was.
	seen     int16
	seenKind byte
	// walked is the layer that last went through the path to one below it,
	// if no entry has said yet that it is a directory.
	walked int16
}

func newPlanned() planned {
	return planned{hiddenBelow: never, opaqueBelow: never, seen: never, walked: never}
}

// inode is what hard links share. There is one for each file of the image,
// so that what few files have stands apart.
type inode struct {
	size     int64
	mtime    timespec
	digest   [32]byte  // set by the writer, before written
	rare     *rare     // nil for most
	identity *Identity // set by the writer, before written; nil when unknown
	uid, gid uint32    // of the image
	nlink    int32
	ordinal  int32 // of the entry that it came from, in its layer
	layer    int16
	mode     uint16
	kind     byte // a type flag, or flagWhiteout
	written  atomic.Bool
}

// rare is what only some files have.
type rare struct {
	link         string // target of a symlink
	major, minor uint32 // of a device
	xattrs       []xattr

	// device is the type flag of a device that became an empty file, and
	// deviceMode its permissions.
	device     byte
	deviceMode uint16
}

// more returns what the inode has of the rare things, for reading.
func (ino *inode) more() rare {
	if ino.rare == nil {
		return rare{}
	}
	return *ino.rare
}

// target is the target of a symlink. It is read while a writer may be at the
// attributes of the same link, which more would read too.
func (ino *inode) target() string {
	if ino.rare == nil {
		return ""
	}
	return ino.rare.link
}

// own returns the rare things of the inode, for writing.
func (ino *inode) own() *rare {
	if ino.rare == nil {
		ino.rare = new(rare)
	}
	return ino.rare
}

// setXattrs replaces the attributes.
func (ino *inode) setXattrs(xattrs []xattr) {
	if len(xattrs) > 0 || ino.rare != nil {
		ino.own().xattrs = xattrs
	}
}

// flagWhiteout marks a name that hides one of a lower layer, in overlay form.
const flagWhiteout = 'W'

// directory is what a directory has beyond its inode.
type directory struct {
	children []*node
	index    []int32 // of children, once there are many: see dirindex.go
	handle   *handle // nil unless open
	opaque   bool    // hides what lower layers have here, in overlay form
	// remade was removed by its own layer first, so that it is opaque, and
	// what lower layers said of it no longer counts.
	remade bool
	// marked has an opaque marker, which makes a directory where there is
	// none; whiteouts alone do not.
	marked bool
	// existing was there before the first layer: only what is asked for is
	// changed, and what it holds is read when it is first needed.
	existing bool
	unread   bool
}

func newDir(parent *node, name string) *node {
	return &node{name: name, parent: parent, ino: &inode{kind: flagDir, nlink: 1}, dir: &directory{}, touched: never, explicit: never, planned: newPlanned()}
}

// sort puts the children in the order of their bytes.
func (d *directory) sort() {
	slices.SortFunc(d.children, func(a, b *node) int { return strings.Compare(a.name, b.name) })
	d.reindex()
}

// path returns the path below the root, "." for the root itself.
func (n *node) path() string {
	if n.parent == nil {
		return "."
	}
	var names []string
	for ; n.parent != nil; n = n.parent {
		names = append(names, n.name)
	}
	slices.Reverse(names)
	return strings.Join(names, "/")
}

// walk visits the tree below and with n: a directory before its children
// (pre) and again after them (post). Either may be nil. It needs no stack of
// its own per level, so that depth costs nothing.
func (n *node) walk(pre, post func(*node) error) error {
	type step struct {
		n    *node
		next int
	}
	visit := func(f func(*node) error, n *node) error {
		if f == nil {
			return nil
		}
		return f(n)
	}
	if err := visit(pre, n); err != nil {
		return err
	}
	stack := []step{{n: n}}
	for len(stack) > 0 {
		top := &stack[len(stack)-1]
		if top.n.dir == nil || top.next == len(top.n.dir.children) {
			if err := visit(post, top.n); err != nil {
				return err
			}
			stack = stack[:len(stack)-1]
			continue
		}
		child := top.n.dir.children[top.next]
		top.next++
		if err := visit(pre, child); err != nil {
			return err
		}
		stack = append(stack, step{n: child})
	}
	return nil
}
