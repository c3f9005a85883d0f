package layer

import (
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// maxHops is the kernel's own limit of symlinks in one path. It is counted
// over the whole path, so that links which name each other twice do not make
// the work grow exponentially (CVE-2026-44740).
const maxHops = 40

// enter returns the directory at parts, and makes what is missing. What is
// neither a directory nor a symlink is replaced by a directory: the entry
// that comes through it says that it must be one.
func (a *applier) enter(parts []string) (*node, error) {
	return a.resolve(parts, func(parent *node, name string, n *node) (*node, error) {
		return a.replaceByDir(parent, strings.Clone(name), n)
	})
}

// find returns the directory at parts, following a symlink at the end, too,
// or nil when there is none.
func (a *applier) find(parts []string) (*node, error) {
	return a.resolve(parts, nil)
}

// resolve walks the tree in memory. ".." goes to the physical parent, and
// stays in the root, as does an absolute target. missing makes a directory;
// without it the walk ends with nil.
func (a *applier) resolve(parts []string, missing func(parent *node, name string, n *node) (*node, error)) (*node, error) {
	cur, hops := a.root, 0
	var targets []string // what is left of the symlinks, innermost last
	for i := 0; len(targets) > 0 || i < len(parts); {
		var name string
		top := len(targets) - 1
		linked := top >= 0 // only in targets is ".." left
		if linked {
			name, targets[top], _ = strings.Cut(targets[top], "/")
			if targets[top] == "" {
				targets = targets[:top]
			}
		} else {
			name = parts[i]
			i++
		}
		switch {
		case name == "" || name == ".":
			continue
		case name == ".." && linked:
			if cur.parent != nil {
				cur = cur.parent
			}
			continue
		case len(name) > maxComponent:
			return nil, fault.Refused("a symlink in the path has a component of %d bytes", len(name))
		}
		n, err := a.child(cur, name)
		if err != nil {
			return nil, err
		}
		if n != nil && a.isLink(n) {
			a.followed = true
			hops++
			if hops > maxHops {
				return nil, fault.Refused("more than %d symlinks in the path: a loop", maxHops)
			}
			target := n.ino.target()
			if strings.HasPrefix(target, "/") {
				cur = a.root
			}
			targets = append(targets, target)
			continue
		}
		if n == nil || n.dir == nil {
			if missing == nil {
				return nil, nil
			}
			if n, err = missing(cur, name, n); err != nil {
				return nil, err
			}
		}
		cur = n
	}
	if missing != nil {
		a.touch(cur)
	}
	return cur, nil
}

// child returns the child of that name, or nil. It reads a directory that was
// there before the first layer.
func (a *applier) child(dir *node, name string) (*node, error) {
	if dir.dir.unread {
		dir.dir.unread = false
		if err := a.store.children(dir); err != nil {
			return nil, err
		}
	}
	return dir.dir.child(name), nil
}
