package mtree_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	oracle "github.com/vbatts/go-mtree"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/mtree"
)

// odd are names that a manifest has to encode.
var odd = []string{
	" lead", "#hash", "*glob?", "[", `back\slash`, `end\`, "new\nline", "tab\t", "\xff\xfe\x80", "ünï", "=", "-rf", "日本", "a b",
}

// entries make a tree that has everything a manifest can say.
func entries() []*mtree.Entry {
	list := []*mtree.Entry{
		{Path: ".", Type: mtree.Dir, Mode: 0o755, MTime: 1, NoSHA256: true},
		{Path: "block", Type: mtree.Block, Mode: 0o660, NLink: 1, Major: 8, Minor: 1, MTime: 2, NoSHA256: true},
		{Path: "d", Type: mtree.Dir, Mode: 0o2755, UID: 5, GID: 6, MTime: -5, NoSHA256: true, Xattrs: []mtree.Xattr{{Name: "user.with space", Value: "\x00\xff"}}},
		{Path: "d/d", Type: mtree.Dir, Mode: 0, MTime: 99999999999, NoSHA256: true},
		{Path: "d/d/deep", Type: mtree.File, Mode: 0o644, NLink: 1, Size: 3, SHA256: sha256.Sum256([]byte("abc")), MTime: 3},
		{Path: "d/link", Type: mtree.Symlink, Mode: 0o777, NLink: 2, Link: `a \really //weird _00..:=path \`, MTime: 4, NoSHA256: true},
		{Path: "fifo", Type: mtree.Fifo, Mode: 0o600, NLink: 1, MTime: 5, NoSHA256: true},
		{Path: "suid", Type: mtree.File, Mode: 0o4755, NLink: 1, UID: 4000000000, MTime: 6, SHA256: sha256.Sum256(nil)},
		{Path: "value", Type: mtree.File, Mode: 0o644, NLink: 1, SHA256: sha256.Sum256(nil), Xattrs: []mtree.Xattr{{Name: "user.big", Value: strings.Repeat("v", 60<<10)}}},
	}
	for _, name := range odd {
		list = append(list, &mtree.Entry{Path: name, Type: mtree.File, Mode: 0o644, NLink: 1, SHA256: sha256.Sum256(nil)})
	}
	return list
}

func write(t *testing.T, list []*mtree.Entry) string {
	t.Helper()
	var b bytes.Buffer
	w := mtree.NewWriter(&b)
	for _, e := range list {
		if err := w.Write(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestReadWhatWasWritten(t *testing.T) {
	want := entries()
	r := mtree.NewReader(strings.NewReader(write(t, want)))
	var got []*mtree.Entry
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read (+) what was written (-):\n%s", diff)
	}
}

// go-mtree, which gomtree is made of, reads the same paths and keywords.
func TestGoMtreeReads(t *testing.T) {
	text := write(t, entries())
	spec, err := oracle.ParseSpec(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, e := range spec.Entries {
		if e.Type == oracle.RelativeType || e.Type == oracle.FullType {
			path, err := e.Path()
			if err != nil {
				t.Fatal(err)
			}
			got[path] = true
		}
	}
	for _, e := range entries() {
		if !got[e.Path] {
			t.Errorf("go-mtree does not find %q in\n%s", e.Path, text)
		}
	}
	if len(got) != len(entries()) {
		t.Errorf("go-mtree finds %d paths, want %d", len(got), len(entries()))
	}
}

// A manifest that go-mtree makes of a tree agrees with Compare, and so does
// go-mtree with what Compare finds after a change.
func TestCompareAgreesWithGoMtree(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(dir string) error
		want   []mtree.Difference
	}{
		{"nothing", func(string) error { return nil }, nil},
		{"content", func(dir string) error {
			path := filepath.Join(dir, "d", "f")
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			return errors.Join(os.WriteFile(path, []byte("X"), 0), os.Chtimes(path, time.Time{}, info.ModTime()))
		}, []mtree.Difference{{Path: "d/f", Kind: "changed", Keywords: []mtree.Keyword{{
			Name: "sha256digest",
			Want: "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
			Got:  "4b68ab3847feda7d6c62c1fbcbeebfa35eab7351ed5e78f4ddadea5df64b8015",
		}}}}},
		{
			"mode", func(dir string) error { return os.Chmod(filepath.Join(dir, "d", "f"), 0o600) },
			[]mtree.Difference{{Path: "d/f", Kind: "changed", Keywords: []mtree.Keyword{{Name: "mode", Want: "0644", Got: "0600"}}}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := makeTree(t)
			before, err := oracle.Walk(dir, nil, []oracle.Keyword{"type", "mode", "uid", "gid", "nlink", "size", "link", "tar_time", "sha256digest", "xattr"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			var manifest bytes.Buffer
			if _, err := before.WriteTo(&manifest); err != nil {
				t.Fatal(err)
			}
			if err := c.change(dir); err != nil {
				t.Fatal(err)
			}
			got, err := mtree.Compare(context.Background(), dir, &manifest)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("Compare (-want +got):\n%s", diff)
			}
			theirs, err := oracle.Check(dir, before, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			if (len(theirs) > 0) != (len(got) > 0) {
				t.Errorf("go-mtree finds %v, Compare %v", theirs, got)
			}
		})
	}
}

func makeTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	old := time.Unix(1_000_000_000, 0)
	for _, err := range []error{
		os.Mkdir(filepath.Join(dir, "d"), 0o755),
		os.WriteFile(filepath.Join(dir, "d", "f"), []byte("x"), 0o644),
		os.Symlink("nowhere", filepath.Join(dir, "s")),
		unix.Mkfifo(filepath.Join(dir, "p"), 0o644),
		os.WriteFile(filepath.Join(dir, "\xff odd\n"), nil, 0o644),
		os.Chtimes(filepath.Join(dir, "d", "f"), old, old),
		os.Chmod(filepath.Join(dir, "d", "f"), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCompareFindsAllKinds(t *testing.T) {
	dir := makeTree(t)
	manifest := "#mtree\n/set type=file mode=0644\n. type=dir mode=0755 uid=0 gid=0 tar_time=5.0\n\tgone nlink=1\n\ts type=link link=elsewhere mode=0777\n..\n"
	got, err := mtree.Compare(context.Background(), dir, strings.NewReader(manifest))
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]string{}
	for _, d := range got {
		kinds[d.Path] = d.Kind
	}
	want := map[string]string{".": "changed", "gone": "missing", "s": "changed", "p": "extra", "d": "extra", "d/f": "extra", "\xff odd\n": "extra"}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Errorf("Compare (-want +got):\n%s", diff)
	}
}

// Files are read in several goroutines: each difference is told once, in order,
// and an end that comes from outside stops all of them.
func TestCompareManyFiles(t *testing.T) {
	dir := t.TempDir()
	var manifest strings.Builder
	manifest.WriteString("#mtree v2.0\n. type=dir\n")
	var want []string
	for i := range 500 {
		name, content := fmt.Sprintf("f%03d", i), []byte(fmt.Sprint(i))
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
		if i%7 == 0 {
			content = []byte("other")
			want = append(want, name)
		}
		fmt.Fprintf(&manifest, "%s type=file sha256digest=%x\n", name, sha256.Sum256(content))
	}
	compare := func(ctx context.Context) (got []string, err error) {
		diffs, err := mtree.Compare(ctx, dir, strings.NewReader(manifest.String()))
		for _, d := range diffs {
			for _, k := range d.Keywords {
				if k.Name == "sha256digest" {
					got = append(got, d.Path)
				}
			}
		}
		return got, err
	}
	got, err := compare(context.Background())
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("Compare (-want +got), %v:\n%s", err, diff)
	}
	boom := errors.New("boom")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(boom)
	if _, err := compare(ctx); !errors.Is(err, boom) {
		t.Errorf("Compare = %v, want %v", err, boom)
	}
}

// Holes are hashed without being read.
func TestCompareSparseFile(t *testing.T) {
	const mib = 1 << 20
	for name, places := range map[string][]int64{
		"a hole alone": nil, "data first": {0}, "data last": {4*mib - 3}, "islands": {mib, 2*mib + 77, 3 * mib},
	} {
		dir := t.TempDir()
		content := make([]byte, 4*mib)
		f, err := os.Create(filepath.Join(dir, "f"))
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range places {
			copy(content[at:], "abc")
			if _, err := f.WriteAt([]byte("abc"), at); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(f.Truncate(4*mib), f.Close()); err != nil {
			t.Fatal(err)
		}
		for _, change := range []byte{0, 1} {
			content[5*mib/2] = change
			manifest := fmt.Sprintf("#mtree v2.0\n. type=dir\nf type=file sha256digest=%x\n", sha256.Sum256(content))
			diffs, err := mtree.Compare(context.Background(), dir, strings.NewReader(manifest))
			other := slices.ContainsFunc(diffs, func(d mtree.Difference) bool {
				return slices.ContainsFunc(d.Keywords, func(k mtree.Keyword) bool { return k.Name == "sha256digest" })
			})
			if err != nil || other != (change != 0) {
				t.Errorf("%s: another digest %v (%v), want %v", name, other, err, change != 0)
			}
		}
	}
}

func TestReaderRefuses(t *testing.T) {
	for _, text := range []string{
		"../x type=file\n", "/etc/passwd/../../x mode=9\n", "a size=x\n", "\\056\\056 type=file\n", "a\\057b type=file\n", "a sha256digest=00\n", "a xattr.user.x=!\n", "a mode=8\n", "a device=1\n",
	} {
		_, err := mtree.NewReader(strings.NewReader(text)).Next()
		if text[0] == '/' {
			continue // a command that is not known is ignored, as mtree(8) does
		}
		if !errors.Is(err, fault.ErrRefused) {
			t.Errorf("Next(%q) = %v, want a refusal", text, err)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add("#mtree v2.0\n/set type=file uid=0\n. type=dir\nd type=dir\nf size=1 \\\n mode=0644\n..\n./x/y link=\\040\n")
	f.Add("..\n..\na xattr.user.k=AA==\n/unset uid\n")
	f.Fuzz(func(t *testing.T, text string) {
		r := mtree.NewReader(strings.NewReader(text))
		for {
			e, err := r.Next()
			if err != nil {
				return
			}
			if strings.HasPrefix(e.Path, "../") || strings.Contains(e.Path, "/../") || strings.HasPrefix(e.Path, "/") || e.Path == ".." {
				t.Fatalf("the path %q leaves the tree", e.Path)
			}
		}
	})
}
