package mtree

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// Difference is a file that is not as the manifest says.
type Difference struct {
	Path string `json:"path"`
	// Kind is "missing" (from the tree), "extra" (not in the manifest) or
	// "changed".
	Kind string `json:"kind"`
	// Keywords are those that differ, when changed.
	Keywords []Keyword `json:"keywords,omitempty"`
}

// Keyword is one property that differs.
type Keyword struct {
	Name string `json:"name"`
	Want string `json:"want"`
	Got  string `json:"got"`
}

// Compare compares the tree below root with the manifest, and returns the
// differences sorted by path. It follows no symlink, opens nothing but
// directories and regular files, and changes nothing but access times.
func Compare(ctx context.Context, root string, manifest io.Reader) ([]Difference, error) {
	want := make(map[string]*Entry)
	for r := NewReader(manifest); ; {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if _, twice := want[e.Path]; twice {
			return nil, fault.Refused("the manifest names %q twice", e.Path)
		}
		want[e.Path] = e
	}
	var diffs []Difference
	err := walkTree(root, func(f *found) error {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		w, ok := want[f.path]
		if !ok {
			diffs = append(diffs, Difference{Path: f.path, Kind: "extra"})
			return nil
		}
		delete(want, f.path)
		got, err := f.describe(!w.NoSHA256)
		if err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
		if keywords := differ(w, got); len(keywords) > 0 {
			diffs = append(diffs, Difference{Path: f.path, Kind: "changed", Keywords: keywords})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("compare %s: %w", root, err)
	}
	for missing := range want {
		diffs = append(diffs, Difference{Path: missing, Kind: "missing"})
	}
	slices.SortFunc(diffs, func(a, b Difference) int { return strings.Compare(a.Path, b.Path) })
	return diffs, nil
}

// differ lists the keywords of want that got does not have.
func differ(want, got *Entry) []Keyword {
	var out []Keyword
	check := func(name, w, g string) {
		if w != g {
			out = append(out, Keyword{name, w, g})
		}
	}
	check("type", string(want.Type), string(got.Type))
	if len(out) > 0 {
		return out
	}
	check("mode", mode(want.Mode), mode(got.Mode))
	check("uid", strconv.Itoa(int(want.UID)), strconv.Itoa(int(got.UID)))
	check("gid", strconv.Itoa(int(want.GID)), strconv.Itoa(int(got.GID)))
	check("tar_time", strconv.FormatInt(want.MTime, 10), strconv.FormatInt(got.MTime, 10))
	if want.Type != Dir && want.NLink != 0 {
		check("nlink", strconv.Itoa(int(want.NLink)), strconv.Itoa(int(got.NLink)))
	}
	switch want.Type {
	case File:
		check("size", strconv.FormatInt(want.Size, 10), strconv.FormatInt(got.Size, 10))
		if !want.NoSHA256 {
			check("sha256digest", hex.EncodeToString(want.SHA256[:]), hex.EncodeToString(got.SHA256[:]))
		}
	case Symlink:
		check("link", want.Link, got.Link)
	case Char, Block:
		if want.Major != 0 || want.Minor != 0 {
			check("device", fmt.Sprintf("%d,%d", want.Major, want.Minor), fmt.Sprintf("%d,%d", got.Major, got.Minor))
		}
	}
	return append(out, differXattrs(want.Xattrs, got.Xattrs)...)
}

func differXattrs(want, got []Xattr) []Keyword {
	values := make(map[string][2]*string)
	for i := range want {
		values[want[i].Name] = [2]*string{&want[i].Value, nil}
	}
	for i := range got {
		pair := values[got[i].Name]
		pair[1] = &got[i].Value
		values[got[i].Name] = pair
	}
	var out []Keyword
	for name, pair := range values {
		if pair[0] != nil && pair[1] != nil && *pair[0] == *pair[1] {
			continue
		}
		k := Keyword{Name: "xattr." + name}
		if pair[0] != nil {
			k.Want = strconv.Quote(*pair[0])
		}
		if pair[1] != nil {
			k.Got = strconv.Quote(*pair[1])
		}
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b Keyword) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// describe makes an entry of a file on the disk.
func (f *found) describe(digest bool) (*Entry, error) {
	e := &Entry{
		Path: f.path, Type: typeOf[f.stat.Mode&unix.S_IFMT], Mode: f.stat.Mode & 0o7777,
		UID: f.stat.Uid, GID: f.stat.Gid, Size: f.stat.Size, NLink: uint32(f.stat.Nlink), MTime: f.stat.Mtim.Sec,
	}
	switch e.Type {
	case Char, Block:
		e.Major, e.Minor = unix.Major(f.stat.Rdev), unix.Minor(f.stat.Rdev)
	case Symlink:
		target := make([]byte, 4096)
		n, err := unix.Readlinkat(f.dir, f.name, target)
		if err != nil {
			return nil, fmt.Errorf("read link: %w", err)
		}
		e.Link = string(target[:n])
	case Dir, File:
		return e, f.contents(e, digest)
	}
	return e, nil
}

var typeOf = map[uint32]Type{
	unix.S_IFDIR: Dir, unix.S_IFREG: File, unix.S_IFLNK: Symlink, unix.S_IFIFO: Fifo,
	unix.S_IFCHR: Char, unix.S_IFBLK: Block, unix.S_IFSOCK: Socket,
}

// contents reads what needs an open file. Between the two calls somebody may
// have put another kind of file there: it is not read.
func (f *found) contents(e *Entry, digest bool) error {
	fd, err := unix.Openat(f.dir, f.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	file := os.NewFile(uintptr(fd), f.path)
	defer file.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	if st.Ino != f.stat.Ino || st.Dev != f.stat.Dev {
		return errors.New("it was replaced while it was being read")
	}
	if e.Xattrs, err = xattrs(fd); err != nil {
		return err
	}
	if e.Type != File || !digest {
		return nil
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	sum.Sum(e.SHA256[:0])
	return nil
}

// xattrs reads all but those that the host sets by itself.
func xattrs(fd int) ([]Xattr, error) {
	list := make([]byte, 64<<10)
	n, err := unix.Flistxattr(fd, list)
	if errors.Is(err, unix.EOPNOTSUPP) || err == nil && n == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list xattrs: %w", err)
	}
	var all []Xattr
	for _, name := range strings.Split(strings.TrimSuffix(string(list[:n]), "\x00"), "\x00") {
		if name == "security.selinux" || name == "system.nfs4_acl" {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Fgetxattr(fd, name, value)
		if errors.Is(err, unix.ENODATA) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read xattr %s: %w", name, err)
		}
		all = append(all, Xattr{name, string(value[:n])})
	}
	slices.SortFunc(all, func(a, b Xattr) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}
