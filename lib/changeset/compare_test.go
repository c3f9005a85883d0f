package changeset

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/mtree"
)

// manifestOf describes a tree of directories, files and links, in the order of
// the manifests that oci-unpack writes.
func manifestOf(t *testing.T, root string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := mtree.NewWriter(&out)
	var describe func(path string)
	describe = func(path string) {
		var st unix.Stat_t
		must(t, unix.Lstat(filepath.Join(root, path), &st))
		e := &mtree.Entry{Path: path, Type: mtree.File, Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid, Size: st.Size, NLink: uint32(st.Nlink), MTime: st.Mtim.Sec}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			e.Type = mtree.Dir
		case unix.S_IFLNK:
			e.Type = mtree.Symlink
			target, err := os.Readlink(filepath.Join(root, path))
			must(t, err)
			e.Link = target
		default:
			data, err := os.ReadFile(filepath.Join(root, path))
			must(t, err)
			e.SHA256 = sha256.Sum256(data)
		}
		must(t, w.Write(e))
		if e.Type != mtree.Dir {
			return
		}
		entries, err := os.ReadDir(filepath.Join(root, path))
		must(t, err)
		slices.SortStableFunc(entries, func(a, b os.DirEntry) int {
			if a.IsDir() == b.IsDir() {
				return 0
			}
			if b.IsDir() {
				return -1
			}
			return 1
		})
		for _, child := range entries {
			describe(filepath.Join(path, child.Name()))
		}
	}
	describe(".")
	must(t, w.Flush())
	return out.Bytes()
}

func inMemory(data []byte) Manifest {
	sum := sha256.Sum256(data)
	return Manifest{
		Open:   func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
		SHA256: hex.EncodeToString(sum[:]),
	}
}

// changesOf lists the changes as lines.
func changesOf(t *testing.T, root string, m Manifest, opt Options) []string {
	t.Helper()
	tree, err := Rootfs(t.Context(), root, m, opt)
	must(t, err)
	defer tree.Close()
	var lines []string
	must(t, tree.Each(func(path string, n *Node) error {
		lines = append(lines, n.Kind.String()+" "+path)
		return nil
	}))
	return lines
}

func smallTree(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	must(t, os.MkdirAll(root+"/d/e", 0o755))
	for _, name := range []string{"a", "d/b", "d/e/c"} {
		must(t, os.WriteFile(filepath.Join(root, name), []byte("content of "+name), 0o644))
	}
	must(t, os.Symlink("a", root+"/l"))
	return root
}

func recordOf(t *testing.T, root string, m Manifest) []byte {
	t.Helper()
	var record bytes.Buffer
	encoder := NewSnapshotEncoder(&record, m.SHA256)
	must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		depth := 0
		if path != root {
			depth = 1 + strings.Count(path[len(root)+1:], "/")
		}
		encoder.Directory(depth, d.Name())
		entries, err := os.ReadDir(path)
		for _, e := range entries {
			st, err := statAt(unix.AT_FDCWD, filepath.Join(path, e.Name()))
			must(t, err)
			encoder.Entry(e.Name(), st)
		}
		return err
	}))
	must(t, encoder.Close())
	return record.Bytes()
}

// TestUntouchedFilesAreNotRead: the manifest lies about a digest; only who
// reads the file can tell.
func TestUntouchedFilesAreNotRead(t *testing.T) {
	root := smallTree(t)
	data := manifestOf(t, root)
	sum := sha256.Sum256([]byte("content of d/b"))
	right := hex.EncodeToString(sum[:])
	lying := inMemory(bytes.Replace(data, []byte(right), []byte(strings.Repeat("0", 64)), 1))
	time.Sleep(2 * tick) // what was written just now is never trusted
	record := recordOf(t, root, lying)
	if got := changesOf(t, root, lying, Options{}); !slices.Equal(got, []string{"C /d/b"}) {
		t.Errorf("without a record: %q, want C /d/b", got)
	}
	if got := changesOf(t, root, lying, Options{Previous: record}); len(got) != 0 {
		t.Errorf("with a record: %q, want nothing", got)
	}
	// A record of another manifest, and a damaged one, know nothing.
	for _, other := range [][]byte{recordOf(t, root, inMemory(data)), record[:len(record)/2], []byte("x"), nil} {
		if got := changesOf(t, root, lying, Options{Previous: other}); !slices.Equal(got, []string{"C /d/b"}) {
			t.Errorf("with a record of something else: %q, want C /d/b", got)
		}
	}
}

// TestDirectoriesSwappedByRename: the files below have neither another name nor
// another ctime; only their inodes tell.
func TestDirectoriesSwappedByRename(t *testing.T) {
	root := t.TempDir()
	for _, d := range []string{"x", "y"} {
		must(t, os.Mkdir(filepath.Join(root, d), 0o755))
		must(t, os.WriteFile(filepath.Join(root, d, "f"), []byte(d), 0o644))
	}
	m := inMemory(manifestOf(t, root))
	time.Sleep(2 * tick)
	record := recordOf(t, root, m)
	must(t, unix.Renameat2(unix.AT_FDCWD, root+"/x", unix.AT_FDCWD, root+"/y", unix.RENAME_EXCHANGE))
	got := changesOf(t, root, m, Options{Previous: record})
	if !slices.Contains(got, "C /x/f") || !slices.Contains(got, "C /y/f") {
		t.Errorf("changes = %q, want both files", got)
	}
}

// TestRefreshedManifest: what WriteManifest writes is what describing the tree
// anew gives, and with the tree's own record nothing is left to commit.
func TestRefreshedManifest(t *testing.T) {
	root := smallTree(t)
	m := inMemory(manifestOf(t, root))
	must(t, os.Remove(root+"/a"))
	must(t, os.RemoveAll(root+"/d/e"))
	must(t, os.WriteFile(root+"/d/e", []byte("a file now"), 0o600))
	must(t, os.MkdirAll(root+"/b/new/deep", 0o755))
	must(t, os.WriteFile(root+"/b/new/f", nil, 0o644))
	must(t, os.Link(root+"/d/b", root+"/z"))
	must(t, os.Remove(root+"/l"))
	must(t, os.Mkdir(root+"/l", 0o700))
	tree, err := Rootfs(t.Context(), root, m, Options{})
	must(t, err)
	defer tree.Close()
	must(t, tree.WriteTar(t.Context(), io.Discard, WriteOptions{}))
	var refreshed, record bytes.Buffer
	must(t, tree.WriteManifest(t.Context(), m, &refreshed))
	if diff := cmp.Diff(string(manifestOf(t, root)), refreshed.String()); diff != "" {
		t.Errorf("manifest (-want +got):\n%s", diff)
	}
	next := inMemory(refreshed.Bytes())
	must(t, tree.Record(&record, next.SHA256))
	if got := changesOf(t, root, next, Options{Previous: record.Bytes()}); len(got) != 0 {
		t.Errorf("after the refresh there is still %q", got)
	}
	if got := changesOf(t, root, next, Options{}); len(got) != 0 {
		t.Errorf("read anew there is still %q", got)
	}
}

func TestMalformedManifests(t *testing.T) {
	root := smallTree(t)
	good := string(manifestOf(t, root))
	for name, text := range map[string]string{
		"empty":                  "",
		"no root":                "#mtree v2.0\na type=file mode=0644 size=1\n",
		"file without directory": good + "x/y type=file mode=0644 size=1 nlink=1 tar_time=1.0\n",
		"file without a digest":  strings.ReplaceAll(good, "sha256digest=", "ignored="),
		"path that leaves":       good + "../x type=file mode=0644\n",
	} {
		_, err := Rootfs(t.Context(), root, inMemory([]byte(text)), Options{})
		if !errors.Is(err, fault.ErrRefused) {
			t.Errorf("%s: Rootfs = %v, want a refusal", name, err)
		}
	}
}

// TestLowers: overlay's rules of what a stack shows.
func TestLowers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make whiteouts")
	}
	base := t.TempDir()
	mkdir := func(layer, path string) {
		must(t, os.MkdirAll(filepath.Join(base, layer, path), 0o755))
	}
	write := func(layer, path string) {
		mkdir(layer, filepath.Dir(path))
		must(t, os.WriteFile(filepath.Join(base, layer, path), []byte(layer), 0o644))
	}
	write("1", "kept/f")
	write("1", "hidden/f")
	write("1", "opaque/f")
	write("1", "file/below")
	write("1", "gone/f")
	mkdir("2", "kept")
	must(t, unix.Mknod(base+"/2/gone", unix.S_IFCHR, 0))
	mkdir("2", "opaque")
	must(t, unix.Setxattr(base+"/2/opaque", "trusted.overlay.opaque", []byte("y"), 0))
	write("2", "file")
	mkdir("3", "file")
	l := &lowers{overlay: overlayForm{trustedOverlay}}
	for _, layer := range []string{"3", "2", "1"} {
		d, err := openRoot(filepath.Join(base, layer))
		must(t, err)
		t.Cleanup(func() { must(t, d.leave()) })
		l.stack = append(l.stack, d)
	}
	for path, want := range map[string]bool{
		"kept": true, "kept/f": true, "opaque": true, "opaque/f": false, "gone": false, "gone/f": false,
		"file": true, "file/below": false, "hidden/f": true, "nothing": false, "nothing/f": false,
	} {
		at := l.top()
		dir, name := filepath.Split(path)
		if dir = strings.TrimSuffix(dir, "/"); dir != "" {
			f, err := at.find(dir)
			must(t, err)
			at = nil
			if f != nil {
				at = f.dir
			}
		}
		f, err := at.find(name)
		must(t, err)
		if (f != nil) != want {
			t.Errorf("find(%q) = %v, want %v", path, f != nil, want)
		}
	}
}

func TestSplit(t *testing.T) {
	long := strings.Repeat("component/", 900) + "last"
	var parts []string
	for path := long; ; {
		cut, rest, done := split(path)
		if cut == "" {
			parts = append(parts, rest)
			break
		}
		if len(cut) > 4000 {
			t.Errorf("split returns %d bytes at once", len(cut))
		}
		parts = append(parts, cut)
		path = rest
		if done {
			parts = append(parts, rest)
			break
		}
	}
	if got := strings.Join(parts, "/"); got != long {
		t.Errorf("split loses something: %d bytes of %d", len(got), len(long))
	}
}
