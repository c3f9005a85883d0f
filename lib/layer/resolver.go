//go:build !evilresolver

package layer

import "golang.org/x/sys/unix"

// The first wall: what keeps names of the image inside the tree. The build
// tag evilresolver takes it down, to prove that the second one stands alone.

// openFlags open a directory by a single component.
const openFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC

// resolveFlags open a directory by components that are all known to be
// directories: a symlink among them was put there by somebody else.
const resolveFlags = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS

// up applies a ".." in a name: above the root there is nothing.
func up(parts []string) []string { return parts[:max(0, len(parts)-1)] }

// startOf begins the components of a name: an absolute one begins at the root of
// the tree, too.
func startOf(_ string, into []string) []string { return into[:0] }

// isLink reports whether a path through n goes to its target, in the tree.
func (a *applier) isLink(n *node) bool { return n.ino.kind == flagSymlink }

// makeDir makes a directory that is not there.
func makeDir(fd int, name string) error { return unix.Mkdirat(fd, name, 0o700) }
