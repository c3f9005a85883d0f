//go:build evilresolver

package layer

import (
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// This resolver is broken on purpose: names lead wherever they say, and the
// kernel follows the symlinks of the image. It exists for a test.

const (
	openFlags    = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC
	resolveFlags = 0
)

func up(parts []string) []string { return append(parts, "..") }

// startOf makes an absolute name one of the host.
func startOf(name string, into []string) []string {
	if strings.HasPrefix(name, "/") {
		return append(into[:0], slices.Repeat([]string{".."}, 32)...)
	}
	return into[:0]
}

// isLink takes a symlink for the directory that it leads to on the host.
func (a *applier) isLink(n *node) bool {
	if n.ino.kind == flagSymlink && n.dir == nil {
		n.dir = &directory{}
		if d, ok := a.store.(*disk); ok {
			_ = d.barrier() // the kernel can follow what is there
		}
	}
	return false
}

func makeDir(fd int, name string) error {
	if err := unix.Mkdirat(fd, name, 0o700); !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}
