package changeset

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
)

// TestGoldenLayer: the bytes of a layer are a promise. The digest is that of a
// fifo, hard links, a symbolic link and a directory of mode 0000.
func TestGoldenLayer(t *testing.T) {
	root := t.TempDir()
	must(t, os.Chmod(root, 0o755))
	must(t, os.WriteFile(root+"/a", []byte("content"), 0o640))
	must(t, os.Link(root+"/a", root+"/z"))
	must(t, os.Symlink("no/where", root+"/link"))
	must(t, unix.Mkfifo(root+"/fifo", 0o600))
	must(t, unix.Chmod(root+"/fifo", 0o600))
	must(t, os.Mkdir(root+"/closed", 0))
	must(t, unix.Chmod(root+"/a", 0o4750))
	t.Cleanup(func() { _ = os.Chmod(root+"/closed", 0o700) })

	epoch := time.Unix(1_000_000_000, 0)
	tree, err := Whole(root, Options{})
	must(t, err)
	defer tree.Close()
	var out bytes.Buffer
	own := idmap.Map{{Container: 0, Host: uint32(os.Geteuid()), Size: 1}}
	group := idmap.Map{{Container: 0, Host: uint32(os.Getegid()), Size: 1}}
	must(t, tree.WriteTar(t.Context(), &out, WriteOptions{Epoch: &epoch, UIDMap: own, GIDMap: group}))
	const want = "57a6bf807c2e6fb642530e52e0199db10c3aecab0f5ee10aa4dbdd841cbcbf81"
	if got := fmt.Sprintf("%x", sha256.Sum256(out.Bytes())); got != want {
		t.Errorf("sha256 of the layer = %s, want %s: the form of layers has changed", got, want)
	}
	var names []string
	for _, hdr := range headers(t, out.Bytes()) {
		names = append(names, fmt.Sprintf("%c %s %o %s", hdr.Typeflag, hdr.Name, hdr.Mode, hdr.Linkname))
		if hdr.Uid != 0 || hdr.Uname != "" || hdr.Gname != "" || !hdr.AccessTime.IsZero() || !hdr.ModTime.Equal(epoch) {
			t.Errorf("%s: owner %d %q %q, times %v %v", hdr.Name, hdr.Uid, hdr.Uname, hdr.Gname, hdr.AccessTime, hdr.ModTime)
		}
	}
	wantNames := []string{"5 ./ 755 ", "0 a 4750 ", "5 closed/ 0 ", "6 fifo 600 ", "2 link 777 no/where", "1 z 4750 a"}
	if diff := cmp.Diff(wantNames, names); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

func headers(t *testing.T, layer []byte) []*tar.Header {
	t.Helper()
	var all []*tar.Header
	for archive := tar.NewReader(bytes.NewReader(layer)); ; {
		hdr, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		must(t, err)
		all = append(all, hdr)
	}
}

// TestEpochKeepsOldTimes: newer times are clamped, older ones are kept.
func TestEpochKeepsOldTimes(t *testing.T) {
	root := t.TempDir()
	must(t, os.WriteFile(root+"/old", nil, 0o644))
	must(t, os.WriteFile(root+"/new", nil, 0o644))
	old := time.Unix(852_076_800, 999_999_999)
	must(t, os.Chtimes(root+"/old", old, old))
	epoch := time.Unix(1_000_000_000, 0)
	tree, err := Whole(root, Options{})
	must(t, err)
	defer tree.Close()
	var out bytes.Buffer
	must(t, tree.WriteTar(t.Context(), &out, WriteOptions{Epoch: &epoch}))
	got := make(map[string]int64)
	for _, hdr := range headers(t, out.Bytes()) {
		got[hdr.Name] = hdr.ModTime.Unix()
	}
	if diff := cmp.Diff(map[string]int64{"./": 1_000_000_000, "old": 852_076_800, "new": 1_000_000_000}, got); diff != "" {
		t.Errorf("times (-want +got):\n%s", diff)
	}
}

// TestOwnerOutsideTheMap is an error that names the file.
func TestOwnerOutsideTheMap(t *testing.T) {
	root := t.TempDir()
	must(t, os.WriteFile(root+"/f", nil, 0o644))
	tree, err := Whole(root, Options{})
	must(t, err)
	defer tree.Close()
	m := idmap.Map{{Container: 0, Host: 4_000_000, Size: 10}}
	err = tree.WriteTar(t.Context(), io.Discard, WriteOptions{UIDMap: m, GIDMap: m})
	if err == nil || !strings.Contains(err.Error(), "outside the id map") {
		t.Errorf("WriteTar = %v, want an error about the id map", err)
	}
}

// growing writes to a file of the tree while the layer is written.
type growing struct {
	io.Writer
	path string
	t    *testing.T
	done bool
}

func (g *growing) Write(p []byte) (int, error) {
	if !g.done {
		g.done = true
		f, err := os.OpenFile(g.path, os.O_APPEND|os.O_WRONLY, 0)
		must(g.t, err)
		_, err = f.WriteString("more")
		must(g.t, errors.Join(err, f.Close()))
	}
	return g.Writer.Write(p)
}

func TestFileThatChangesWhileItIsRead(t *testing.T) {
	root := t.TempDir()
	must(t, os.WriteFile(root+"/big", make([]byte, 1<<20), 0o644))
	tree, err := Whole(root, Options{})
	must(t, err)
	defer tree.Close()
	err = tree.WriteTar(t.Context(), &growing{Writer: io.Discard, path: root + "/big", t: t}, WriteOptions{})
	if !errors.Is(err, fault.ErrTemporary) || !strings.Contains(err.Error(), "big changed while it was read") {
		t.Errorf("WriteTar of a growing file = %v, want a temporary error that names it", err)
	}
}

func TestFileThatVanishesWhileItIsRead(t *testing.T) {
	root := t.TempDir()
	must(t, os.WriteFile(root+"/f", nil, 0o644))
	tree, err := Whole(root, Options{})
	must(t, err)
	defer tree.Close()
	must(t, os.Remove(root+"/f"))
	if err := tree.WriteTar(t.Context(), io.Discard, WriteOptions{}); !errors.Is(err, fault.ErrTemporary) {
		t.Errorf("WriteTar of a vanished file = %v, want a temporary error", err)
	}
}

// TestDeepTree: ten thousand levels need neither ten thousand descriptors nor
// a path that the kernel takes.
func TestDeepTree(t *testing.T) {
	const levels = 10_000
	root := t.TempDir()
	fd, err := unix.Open(root, unix.O_DIRECTORY|unix.O_RDONLY, 0)
	must(t, err)
	for range levels {
		must(t, unix.Mkdirat(fd, "d", 0o755))
		next, err := unix.Openat(fd, "d", unix.O_DIRECTORY|unix.O_RDONLY, 0)
		must(t, errors.Join(err, unix.Close(fd)))
		fd = next
	}
	must(t, unix.Close(fd))
	t.Cleanup(func() { removeDeep(t, root) })

	var limit unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	few := limit
	few.Cur = 128
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &few))
	defer func() { must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)) }()
	tree, err := Whole(root, Options{})
	must(t, err)
	defer tree.Close()
	if n := depth(tree.Root); n != levels {
		t.Errorf("the tree has %d levels, want %d", n, levels)
	}
}

func depth(n *Node) int {
	levels := 0
	for len(n.Children) == 1 {
		n = n.Children[0]
		levels++
	}
	return levels
}

// removeDeep removes what os.RemoveAll would need too many descriptors for.
func removeDeep(t *testing.T, root string) {
	for {
		// Move the second level up, and remove the first.
		err := unix.Rename(root+"/d/d", root+"/e")
		if errors.Is(err, unix.ENOENT) {
			return
		}
		must(t, err)
		must(t, unix.Rmdir(root+"/d"))
		must(t, unix.Rename(root+"/e", root+"/d"))
	}
}

// TestTwoFilesystems: equal inode numbers on two filesystems are two files.
func TestTwoFilesystems(t *testing.T) {
	w := &layerWriter{links: make(map[inode]linked)}
	w.links[inode{dev: 1, ino: 7}] = linked{path: "first"}
	if _, ok := w.links[inode{dev: 2, ino: 7}]; ok {
		t.Error("the inode of another filesystem counts as a link")
	}
}

func TestImageCapability(t *testing.T) {
	words := func(list ...uint32) string {
		var raw []byte
		for _, w := range list {
			raw = binary.LittleEndian.AppendUint32(raw, w)
		}
		return string(raw)
	}
	v2 := words(capRevision2|1, 1<<13, 0, 0, 0)
	m := idmap.Map{{Container: 0, Host: 100_000, Size: 1000}}
	for name, tc := range map[string]struct{ value, want string }{
		"revision 2 stays":               {v2, v2},
		"the image's root":               {words(capRevision3|1, 1<<13, 0, 0, 0, 100_000), v2},
		"the root of another namespace":  {words(capRevision3|1, 1<<13, 0, 0, 0, 5), words(capRevision3|1, 1<<13, 0, 0, 0, 5)},
		"another user of the same image": {words(capRevision3|1, 1<<13, 0, 0, 0, 100_001), words(capRevision3|1, 1<<13, 0, 0, 0, 100_001)},
		"short":                          {"\x01", "\x01"},
	} {
		if got := imageCapability(tc.value, m); got != tc.want {
			t.Errorf("%s: imageCapability(%x) = %x, want %x", name, tc.value, got, tc.want)
		}
	}
}

func TestRootlessOwner(t *testing.T) {
	for _, tc := range []struct {
		value    string
		uid, gid uint32
		bad      bool
	}{
		{value: "", uid: 1, gid: 2},
		{value: "\x08\x89\x04", uid: 521, gid: 2},
		{value: "\x10\xae\x07", uid: 1, gid: 942},
		{value: "\x08\xcd\x02\x10\xb9\x06", uid: 333, gid: 825},
		{value: "\x08\xff\xff\xff\xff\x0f\x10\xae\x07", uid: 1, gid: 942},
		{value: "\x08", bad: true},
		{value: "\x12\x00", bad: true},
		{value: "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", bad: true},
	} {
		uid, gid, err := rootlessOwner(tc.value, 1, 2)
		if (err != nil) != tc.bad || !tc.bad && (uid != tc.uid || gid != tc.gid) {
			t.Errorf("rootlessOwner(%x) = %d, %d, %v, want %d, %d, error %v", tc.value, uid, gid, err, tc.uid, tc.gid, tc.bad)
		}
	}
}

func TestStripOverlay(t *testing.T) {
	in := map[string]string{
		"trusted.overlay.opaque": "y", "trusted.overlay.overlay.opaque": "x", "trusted.overlay.overlay.overlay.redirect": "r",
		"user.overlay.opaque": "image's own", "user.mine": "1", "trusted.other": "2",
	}
	want := map[string]string{
		"trusted.overlay.opaque": "x", "trusted.overlay.overlay.redirect": "r",
		"user.overlay.opaque": "image's own", "user.mine": "1", "trusted.other": "2",
	}
	if diff := cmp.Diff(want, overlayForm{trustedOverlay}.strip(in)); diff != "" {
		t.Errorf("strip (-want +got):\n%s", diff)
	}
}

func TestPathSet(t *testing.T) {
	s := newPathSet([]string{"/volume", "var/lib/", "/a/../b", "/", "some nutty/path "})
	for path, want := range map[string]bool{
		"volume": true, "volumetest": false, "var": false, "var/lib": true, "b": true, "a": false, "some nutty/path ": true, "some nutty/path": false,
	} {
		at := s
		dir, base := filepath.Split(path)
		for part := range strings.SplitSeq(strings.Trim(dir, "/"), "/") {
			if part != "" {
				at = at.child(part)
			}
		}
		if got := at.holds(base); got != want {
			t.Errorf("holds(%q) = %v, want %v", path, got, want)
		}
	}
}

func TestCancelled(t *testing.T) {
	root := t.TempDir()
	must(t, os.Mkdir(root+"/d", 0o755))
	tree, err := Whole(root, Options{})
	must(t, err)
	defer tree.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tree.WriteTar(ctx, io.Discard, WriteOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("WriteTar = %v, want context.Canceled", err)
	}
}

// A directory may have been the upper or the layer of a mount: what overlayfs
// wrote there would come alive again under an unpacked image.
func TestOverlayXattrsOfAPlainTree(t *testing.T) {
	root := t.TempDir()
	must(t, os.Mkdir(root+"/d", 0o755))
	for _, name := range []string{"user.overlay.opaque", "user.overlay.overlay.x", "user.kept"} {
		if err := unix.Setxattr(root+"/d", name, []byte("y"), 0); err != nil {
			t.Skipf("the file system has no extended attributes: %v", err)
		}
	}
	if os.Geteuid() == 0 {
		must(t, unix.Setxattr(root+"/d", "trusted.overlay.opaque", []byte("y"), 0))
	}
	tree, err := Whole(root, Options{})
	must(t, err)
	defer tree.Close()
	var out bytes.Buffer
	must(t, tree.WriteTar(t.Context(), &out, WriteOptions{}))
	archive := tar.NewReader(&out)
	_, err = archive.Next()
	must(t, err)
	hdr, err := archive.Next()
	must(t, err)
	for key := range hdr.PAXRecords {
		if strings.HasPrefix(key, "SCHILY.xattr.") && key != "SCHILY.xattr.user.kept" {
			t.Errorf("%s carries %s", hdr.Name, key)
		}
	}
	if hdr.PAXRecords["SCHILY.xattr.user.kept"] != "y" {
		t.Errorf("%s has lost user.kept: %v", hdr.Name, hdr.PAXRecords)
	}
}
