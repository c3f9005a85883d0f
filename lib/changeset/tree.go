package changeset

import (
	"cmp"
	"errors"
	"slices"
)

// Kind says how a path differs.
type Kind uint8

// The kinds of change. Their letters are those of `docker diff`.
const (
	// Unchanged is a directory on the way to a change.
	Unchanged Kind = iota
	// Added is a path that was not there before.
	Added
	// Changed is a path with other content, metadata or type.
	Changed
	// Deleted is a path that is gone.
	Deleted
)

// String is the letter A, C or D; a space for Unchanged.
func (k Kind) String() string { return []string{" ", "A", "C", "D"}[k] }

// Node is one path of a Tree.
type Node struct {
	// Name is the last component; "." at the top.
	Name string
	Kind Kind
	// Opaque marks a directory which hides what lower layers have below it.
	Opaque bool
	// Stat is that of the path now; zero for Deleted.
	Stat Stat
	// Children are sorted bytewise by name.
	Children []*Node

	// digest is the sha256 of a regular file, once its content was read.
	digest [32]byte
	hashed bool
	// content tells that more than the modification time differs.
	content bool
	// xattrs and link are what the layer was given, as they are on the host.
	xattrs map[string]string
	link   string
	// replaced tells that the path had another type before.
	replaced bool
	// candidate marks an unchanged file with another link count than before.
	candidate bool
	// litter tells that a runtime's mount targets were left out below.
	litter bool
}

// Tree holds what changed. It keeps the directories open until Close, for the
// second pass. Memory is in proportion to the changes, not to the rootfs.
type Tree struct {
	// Root is the top of the filesystem.
	Root *Node
	// Warnings tell what could not be represented, one line each.
	Warnings []string

	// stack are the directories in which the content lies: the rootfs, or
	// the upper of an overlay and below it the lowers.
	stack    []*directory
	overlay  overlayForm
	merged   bool // an overlay as its mount shows it
	snapshot *snapshotWriter
	nlinks   map[string]uint32 // of unchanged files, by path, when they differ
}

// Close releases the directories that the tree holds.
func (t *Tree) Close() error {
	var errs []error
	for _, d := range t.stack {
		errs = append(errs, d.leave())
	}
	return errors.Join(errs...)
}

// Empty reports whether nothing changed.
func (t *Tree) Empty() bool { return !t.Root.alive() }

// alive reports whether the pruned node is to be in the layer.
func (n *Node) alive() bool { return n.Kind != Unchanged || n.Opaque || len(n.Children) > 0 }

// Each calls visit for every change, parents first, with the path from the
// root: "/etc/passwd"; "/" is the root itself.
func (t *Tree) Each(visit func(path string, n *Node) error) error {
	return each(t.Root, "/", visit)
}

func each(n *Node, path string, visit func(string, *Node) error) error {
	if n.Kind != Unchanged {
		if err := visit(path, n); err != nil {
			return err
		}
	}
	if path != "/" {
		path += "/"
	}
	for _, child := range n.Children {
		if err := each(child, path+child.Name, visit); err != nil {
			return err
		}
	}
	return nil
}

// sort puts the children in their order.
func (n *Node) sort() {
	slices.SortFunc(n.Children, func(a, b *Node) int { return cmp.Compare(a.Name, b.Name) })
}

// isDir reports whether the path is a directory now.
func (n *Node) isDir() bool { return n.Stat.IsDir() }

// prune removes the nodes that are not to be in the layer.
func (n *Node) prune() {
	n.Children = slices.DeleteFunc(n.Children, func(c *Node) bool {
		c.prune()
		return !c.alive()
	})
	moved := slices.ContainsFunc(n.Children, func(c *Node) bool {
		return c.Kind == Added || c.Kind == Deleted || c.replaced
	})
	if n.litter && n.Kind == Changed && !n.content && !moved {
		// It is making the litter that has moved the directory's time.
		n.Kind = Unchanged
	}
}

// relinked notes the link count of a file that is otherwise as it was.
func (t *Tree) relinked(d *directory, e *entry) {
	if t.nlinks == nil {
		t.nlinks = make(map[string]uint32)
	}
	t.nlinks[d.join(e.name)] = e.stat.Nlink
}
