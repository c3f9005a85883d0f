package overlay

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
)

// copyMetadata gives the directory open as to the owner, mode, attributes and
// times of the one open as from. Overlay's own marks stay behind: they say
// something about the place, not about the directory.
func (m marks) copyMetadata(from, to int) error {
	var st unix.Stat_t
	if err := unix.Fstat(from, &st); err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	if err := unix.Fchown(to, int(st.Uid), int(st.Gid)); err != nil {
		return fmt.Errorf("chown to %d:%d: %w", st.Uid, st.Gid, err)
	}
	if err := unix.Fchmod(to, st.Mode&0o7777); err != nil {
		return fmt.Errorf("chmod to %#o: %w", st.Mode&0o7777, err)
	}
	if err := m.copyAttributes(from, to); err != nil {
		return err
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", to), times, 0); err != nil {
		return fmt.Errorf("set times: %w", err)
	}
	return nil
}

func (m marks) copyAttributes(from, to int) error {
	attributes, err := m.attributes(from)
	if err != nil {
		return err
	}
	for _, a := range attributes {
		if err := unix.Fsetxattr(to, a.name, a.value, 0); err != nil && !errors.Is(err, unix.ENOTSUP) {
			return fmt.Errorf("set attribute %s: %w", a.name, err)
		}
	}
	return nil
}

type xattr struct {
	name  string
	value []byte
}

// attributes reads those that say something about the directory itself.
func (m marks) attributes(fd int) ([]xattr, error) {
	// Most directories have none: then no memory is touched for them.
	size, err := unix.Flistxattr(fd, nil)
	if errors.Is(err, unix.ENOTSUP) || err == nil && size == 0 {
		return nil, nil
	}
	names := make([]byte, 1<<16)
	n, err := unix.Flistxattr(fd, names)
	if err != nil {
		return nil, fmt.Errorf("list attributes: %w", err)
	}
	var list []xattr
	value := make([]byte, 1<<16)
	for name := range bytes.SplitSeq(names[:n], []byte{0}) {
		key := string(name)
		if key == "" || key == "security.selinux" || m.own(key) {
			continue
		}
		size, err := unix.Fgetxattr(fd, key, value)
		if err != nil {
			return nil, fmt.Errorf("read attribute %s: %w", key, err)
		}
		list = append(list, xattr{key, bytes.Clone(value[:size])})
	}
	return list, nil
}

// RootChanged reports whether the upper has another owner, mode or attribute
// than CopyRoot gave it from the lower; uids and gids map the lower's owners.
// Its times follow whatever is made and removed in it, and do not count.
func RootChanged(upper string, l Lower, userXattr bool, uids, gids idmap.Map) (bool, error) {
	now, err := reopen(Lower{Path: upper}, ".")
	if err != nil {
		return false, err
	}
	defer unix.Close(now)
	then, err := reopen(l, ".")
	if err != nil {
		return false, err
	}
	defer unix.Close(then)
	var a, b unix.Stat_t
	if err := errors.Join(unix.Fstat(now, &a), unix.Fstat(then, &b)); err != nil {
		return false, fmt.Errorf("stat %s and %s: %w", upper, l.Path, err)
	}
	if a.Mode != b.Mode || !shownAs(uids, b.Uid, a.Uid) || !shownAs(gids, b.Gid, a.Gid) {
		return true, nil
	}
	return marksFor(userXattr).attributesDiffer(now, then)
}

func shownAs(ids idmap.Map, id, shown uint32) bool {
	if len(ids) == 0 {
		return id == shown
	}
	mapped, err := ids.ToHost(id)
	return err == nil && mapped == shown
}

func (m marks) attributesDiffer(a, b int) (bool, error) {
	ofA, errA := m.attributes(a)
	ofB, errB := m.attributes(b)
	order := func(x, y xattr) int { return strings.Compare(x.name, y.name) }
	slices.SortFunc(ofA, order)
	slices.SortFunc(ofB, order)
	same := slices.EqualFunc(ofA, ofB, func(x, y xattr) bool { return x.name == y.name && bytes.Equal(x.value, y.value) })
	return !same, errors.Join(errA, errB)
}
