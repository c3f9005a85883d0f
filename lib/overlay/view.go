package overlay

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// marks are the names of the attributes that overlay reads.
type marks struct{ prefix string }

func marksFor(userXattr bool) marks {
	if userXattr {
		return marks{"user.overlay."}
	}
	return marks{"trusted.overlay."}
}

// own reports whether the attribute is one of overlay's own, not one of the
// image's that was escaped by a second "overlay." (Linux 6.7).
func (m marks) own(name string) bool {
	rest, ok := strings.CutPrefix(name, m.prefix)
	return ok && !strings.HasPrefix(rest, "overlay.")
}

// kind is what a layer has at a path, as overlay sees it.
type kind int

const (
	absent kind = iota
	whiteout
	other // anything that is no directory
	merging
	opaque
)

// look says what the layer has at path, which is relative, without dot
// components; "." is its root.
func (m marks) look(l Lower, path string) (kind, unix.Stat_t, error) {
	root, err := openRoot(l)
	if err != nil {
		return absent, unix.Stat_t{}, err
	}
	defer unix.Close(root)
	return m.lookFrom(root, l, path)
}

// lookFrom is look in a layer whose root is open.
func (m marks) lookFrom(root int, l Lower, path string) (kind, unix.Stat_t, error) {
	var st unix.Stat_t
	fd, err := openFrom(root, l, path)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return absent, st, nil
	case err != nil:
		return absent, st, err
	}
	defer unix.Close(fd)
	if err := unix.Fstat(fd, &st); err != nil {
		return absent, st, fmt.Errorf("stat %s in layer %s: %w", path, l.Path, err)
	}
	name := heldPath(fd)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		if value, err := attribute(name, m.prefix+"opaque"); err != nil {
			return absent, st, fmt.Errorf("read the opaque mark of %s in layer %s: %w", path, l.Path, err)
		} else if string(value) == "y" {
			return opaque, st, nil
		}
		return merging, st, nil
	case unix.S_IFCHR:
		if st.Rdev == 0 {
			return whiteout, st, nil
		}
	case unix.S_IFREG:
		// The other form of a whiteout (Linux 6.7): an empty file that
		// carries the attribute.
		if st.Size == 0 {
			if value, err := attribute(name, m.prefix+"whiteout"); err == nil && value != nil {
				return whiteout, st, nil
			}
		}
	}
	return other, st, nil
}

// attribute reads an extended attribute; nil when there is none.
func attribute(name, key string) ([]byte, error) {
	buf := make([]byte, 64)
	n, err := unix.Getxattr(name, key, buf)
	switch {
	case errors.Is(err, unix.ENODATA), errors.Is(err, unix.ENOTSUP):
		return nil, nil
	case errors.Is(err, unix.ERANGE):
		return []byte{}, nil
	case err != nil:
		return nil, err
	}
	return buf[:n], nil
}

// openIn opens path in the layer with O_PATH.
func openIn(l Lower, path string) (int, error) {
	root, err := openRoot(l)
	if err != nil {
		return -1, err
	}
	defer unix.Close(root)
	return openFrom(root, l, path)
}

// openFrom opens path below the root of the layer with O_PATH. It follows no
// symlink, not even one in the middle: a directory of the merged tree is a
// directory in each layer. Paths beyond PATH_MAX are walked in pieces.
func openFrom(root int, l Lower, path string) (int, error) {
	for at := root; ; {
		piece, rest := path, ""
		if len(path) >= unix.PathMax {
			cut := strings.LastIndexByte(path[:unix.PathMax-1], '/')
			if cut > 0 {
				piece, rest = path[:cut], path[cut+1:]
			}
		}
		next, err := openBeneath(at, piece)
		if at != root {
			unix.Close(at)
		}
		if err != nil {
			return -1, fmt.Errorf("open %s in layer %s: %w", piece, l.Path, err)
		}
		if rest == "" {
			return next, nil
		}
		at, path = next, rest
	}
}

func openRoot(l Lower) (int, error) {
	if l.Mount != nil {
		fd, err := unix.Openat(int(l.Mount.Fd()), ".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return -1, fmt.Errorf("open layer %s: %w", l.Path, err)
		}
		return fd, nil
	}
	fd, err := unix.Open(l.Path, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open layer", Path: l.Path, Err: err}
	}
	return fd, nil
}

// openBeneath is openat2 without symlinks. Kernels without the call get the
// same by walking the components.
func openBeneath(dir int, path string) (int, error) {
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	fd, err := unix.Openat2(dir, path, &how)
	if !errors.Is(err, unix.ENOSYS) {
		return fd, err
	}
	at, err := unix.FcntlInt(uintptr(dir), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	for name := range strings.SplitSeq(path, "/") {
		next, err := unix.Openat(at, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		unix.Close(at)
		if err != nil {
			return -1, err
		}
		at = next
	}
	return at, nil
}

// found is what a stack of layers shows at one path.
type found struct {
	kind kind
	stat unix.Stat_t
	// layers are the indices of the layers whose directories merge there,
	// the topmost first; empty unless kind is merging or opaque.
	layers []int
}

// merge looks path up in those layers that its parent directory merges.
func (m marks) merge(layers []Lower, parents []int, path string) (found, error) {
	var f found
	for _, i := range parents {
		k, st, err := m.look(layers[i], path)
		if err != nil {
			return found{}, err
		}
		switch k {
		case absent:
			continue
		case whiteout:
			return f, nil
		case other:
			if f.kind == absent {
				f.kind, f.stat = other, st
			}
			return f, nil
		}
		if f.kind == absent {
			f.kind, f.stat = k, st
		}
		f.layers = append(f.layers, i)
		if k == opaque {
			return f, nil
		}
	}
	return f, nil
}

// all returns the indices of n layers.
func all(n int) []int {
	indices := make([]int, n)
	for i := range indices {
		indices[i] = i
	}
	return indices
}

// join appends name to the path of its directory.
func join(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}
