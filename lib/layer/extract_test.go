package layer

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/internal/testimage"
)

// The list shows a whiteout as [0:0]; opaque directories are named apart.
func TestExtract(t *testing.T) {
	needRoot(t)
	for _, c := range []struct {
		name, layer, want, opaque string
		implied                   string
	}{
		{"whiteout", "a/f=1 a/.wh.gone", "a/ a/f=1 a/gone[0:0]", "", ". a"},
		{"whiteout of what the layer has", "a/f=1 a/.wh.f", "a/ a/f=1", "", ". a"},
		{"opaque", "dir/ dir/f=1 dir/OPQ", "dir/ dir/f=1", "dir", "."},
		{"opaque without parents", "a/b/c/OPQ", "a/ a/b/ a/b/c/", "a/b/c", ". a a/b a/b/c"},
		{"whiteout without parents", "a/b/.wh.c", "a/ a/b/ a/b/c[0:0]", "", ". a a/b"},
		{"a file, then opaque", "n=x n/OPQ", "n/", "n", ". n"},
		{"a whiteout, then opaque", ".wh.n n/OPQ", "n/", "n", ". n"},
		{"whiteouts below opaque", "o/foo/bar/.wh.before o/OPQ o/foo/x=1 o/a/b/.wh.after", "o/ o/a/ o/a/b/ o/foo/ o/foo/bar/ o/foo/x=1", "o", ". o o/a o/a/b o/foo o/foo/bar"},
		{"nested opaque", "o/a/b/c/d/OPQ o/a/b/OPQ o/OPQ", "o/ o/a/ o/a/b/ o/a/b/c/ o/a/b/c/d/", "o o/a/b o/a/b/c/d", ". o o/a o/a/b o/a/b/c o/a/b/c/d"},
		{"a directory removed and made anew", "D/before=1 .wh.D D/foo/bar=2", "D/ D/before=1 D/foo/ D/foo/bar=2", "D", ". D D/foo"},
		{"a whiteout, then a file", ".wh.a a=1", "a=1", "", "."},
		{"described", "./ d/@0700", "d/@0700", "", ""},
	} {
		for _, user := range []bool{false, true} {
			t.Run(c.name+map[bool]string{false: ", trusted", true: ", user"}[user], func(t *testing.T) {
				m, layers := stack(t, parse(t, c.layer))
				dir := emptyRoot(t)
				side, err := Extract(context.Background(), m, layers[0], dir, Options{UserXattrs: user})
				if err != nil {
					t.Fatal(err)
				}
				if got := strings.ReplaceAll(list(t, dir), "@0000", ""); got != c.want {
					t.Errorf("Extract(%q) = %q, want %q", c.layer, got, c.want)
				}
				if got := strings.Join(opaqueDirs(t, dir, Options{UserXattrs: user}.overlayNamespace()), " "); got != c.opaque {
					t.Errorf("opaque are %q, want %q", got, c.opaque)
				}
				if got := strings.Join(side.Implied, " "); got != c.implied {
					t.Errorf("implied are %q, want %q", got, c.implied)
				}
			})
		}
	}
}

func opaqueDirs(t *testing.T, root, namespace string) []string {
	t.Helper()
	var dirs []string
	for _, word := range strings.Fields(list(t, root)) {
		dir, ok := strings.CutSuffix(strings.TrimSuffix(word, "@0000"), "/")
		value := make([]byte, 8)
		if n, err := unix.Getxattr(root+"/"+dir, namespace+"opaque", value); ok && err == nil && string(value[:n]) == "y" {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// What overlayfs would obey is stored as what it shows, one level deeper.
func TestExtractEscapes(t *testing.T) {
	needRoot(t)
	m, layers := stack(t, []testimage.Entry{
		testimage.Dir("d", testimage.Xattr("trusted.overlay.opaque", "y"), testimage.Xattr("trusted.overlay.overlay.opaque", "y"), testimage.Xattr("user.overlay.opaque", "y")),
		testimage.File("d/a", ""), testimage.File("d/b", "", testimage.Xattr("trusted.overlay.whiteout", "")),
	})
	dir := emptyRoot(t)
	if _, err := Extract(context.Background(), m, layers[0], dir, Options{}); err != nil {
		t.Fatal(err)
	}
	if got, want := attributes(t, dir+"/d"), ` trusted.overlay.overlay.opaque="y" trusted.overlay.overlay.overlay.opaque="y"`; got != want {
		t.Errorf("d has%s, want%s", got, want)
	}
}

func TestExtractReportsLowerLinks(t *testing.T) {
	needRoot(t)
	m, layers := stack(t, parse(t, "h=>etc/a x=1 y=>x"))
	dir := emptyRoot(t)
	side, err := Extract(context.Background(), m, layers[0], dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]LowerLink{{Path: "h", Target: "etc/a"}}, side.LowerLinks); diff != "" {
		t.Errorf("lower links (-want +got):\n%s", diff)
	}
	if got := list(t, dir); got != "x=1#2 y=1#2" {
		t.Errorf("Extract = %q", got)
	}
}
