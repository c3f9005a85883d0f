package changeset

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
)

// lowers answers what the layers below the upper show at a path. It opens
// nothing for long: a stack may have 500 layers.
type lowers struct {
	stack      []*directory
	overlay    overlayForm
	uids, gids idmap.Map
}

// shift maps the owner as an idmapped mount of the layer shows it. Ids outside
// the map show as nobody's, which is equal to no owner of the upper.
func (l *lowers) shift(st *Stat) {
	uid, errUID := l.uids.ToHost(st.UID)
	gid, errGID := l.gids.ToHost(st.GID)
	if errUID == nil && errGID == nil {
		st.UID, st.GID = uid, gid
	}
}

// lowerDir is what lies below one directory of the upper: the layers that have
// it and are not hidden by one above them.
type lowerDir struct {
	of     *lowers
	layers []int
	path   string
}

// found is what the lowers show under one name.
type found struct {
	stat Stat
	dir  *lowerDir // for a directory
	of   *lowers
	at   *directory
	path string
}

func (l *lowers) top() *lowerDir {
	d := &lowerDir{of: l, path: "."}
	for i := range l.stack {
		d.layers = append(d.layers, i)
	}
	return d
}

// find looks a name up as overlayfs does: the topmost layer that has it
// decides, and directories merge until something hides what is below.
func (d *lowerDir) find(name string) (*found, error) {
	if d == nil {
		return nil, nil
	}
	path := name
	if d.path != "." {
		path = d.path + "/" + name
	}
	var f *found
	for _, i := range d.layers {
		layer := d.of.stack[i]
		parent, base, err := openParent(layer.fd, path)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look for %s in the lower layers: %w", clip(path), err)
		}
		st, xattrs, err := d.of.inspect(parent, base)
		if parent != layer.fd {
			err = errors.Join(err, unix.Close(parent))
		}
		switch {
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
			continue
		case err != nil:
			return nil, fmt.Errorf("look for %s in the lower layers: %w", clip(path), err)
		case st.isWhiteout() || d.of.overlay.mark(xattrs, "whiteout") != "" && st.Type() == unix.S_IFREG && st.Size == 0:
			return f, nil
		case !st.IsDir() && f != nil:
			return f, nil
		}
		if f == nil {
			f = &found{stat: st, of: d.of, at: layer, path: path}
		}
		if !st.IsDir() {
			return f, nil
		}
		if f.dir == nil {
			f.dir = &lowerDir{of: d.of, path: path}
		}
		f.dir.layers = append(f.dir.layers, i)
		if d.of.overlay.mark(xattrs, "opaque") == "y" {
			return f, nil
		}
	}
	return f, nil
}

// inspect stats a name, and reads what overlayfs could have put on it.
func (l *lowers) inspect(dirfd int, name string) (Stat, map[string]string, error) {
	st, err := statAt(dirfd, name)
	if err != nil {
		return st, nil, err
	}
	l.shift(&st)
	if !st.IsDir() && (st.Type() != unix.S_IFREG || st.Size != 0) {
		return st, nil, nil
	}
	xattrs, err := xattrsAt(dirfd, name)
	return st, xattrs, err
}

// openParent opens the directory that holds the last component of a path, in
// steps that openat2 takes. The lowers are the store's own; even so no link is
// followed.
func openParent(root int, path string) (dirfd int, base string, err error) {
	dirfd = root
	for {
		cut, rest, done := split(path)
		if cut == "" {
			return dirfd, rest, nil
		}
		how := &unix.OpenHow{
			Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
			Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
		}
		next, err := retry(func() (int, error) { return unix.Openat2(dirfd, cut, how) })
		if dirfd != root {
			err = errors.Join(err, unix.Close(dirfd))
		}
		if err != nil {
			return -1, "", err
		}
		dirfd, path = next, rest
		if done {
			return dirfd, path, nil
		}
	}
}

// split cuts off as many leading components as one system call may take; done
// tells that only the last component is left.
func split(path string) (cut, rest string, done bool) {
	const most = 4000
	at := -1
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' && i <= most {
			at = i
			break
		}
	}
	if at < 0 {
		return "", path, true
	}
	rest = path[at+1:]
	for i := range len(rest) {
		if rest[i] == '/' {
			return path[:at], rest, false
		}
	}
	return path[:at], rest, true
}
