package layer

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/oci-plumbing/oci-plumbing/internal/testimage"
)

// GNU tar makes of the flattened archive what Unpack makes of the layers.
func TestWriteTar(t *testing.T) {
	needRoot(t)
	if _, err := exec.LookPath("tar"); err != nil {
		t.Skip("needs GNU tar: apt-get install tar")
	}
	m, layers := stack(t,
		append(parse(t, "./@0750 d/@2755 d/a=1 d/b=2 s->d/a p| h=>d/a hs=>s gone=x deep/implied/file=y"),
			testimage.File("x", "v", testimage.Xattr("user.k", "v"), testimage.Owner(5, 6), at(-7)),
			testimage.Char("null", 1, 3)),
		parse(t, "d/b=changed .wh.gone d/c=>d/a e/OPQ"),
	)
	root, _, err := unpackTo(t, m, layers, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var archive, again bytes.Buffer
	for _, out := range []*bytes.Buffer{&archive, &again} {
		if err := WriteTar(context.Background(), m, layers, out, Options{}); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(archive.Bytes(), again.Bytes()) {
		t.Error("two runs differ")
	}
	dir := filepath.Join(t.TempDir(), "tar")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	gnu := exec.Command("tar", "-x", "-p", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-C", dir)
	gnu.Stdin = &archive
	if out, err := gnu.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
	if a, b := metadata(t, root), metadata(t, dir); !slices.Equal(a, b) {
		t.Errorf("unpacked:\n%s\nby way of tar:\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
	}
}
