package changeset

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSwappedParents: while the tree is read, a directory is exchanged with a
// symbolic link to another one, outside. Nothing of the outside may ever be in
// a layer (CVE-2018-15664, CVE-2025-47290).
func TestSwappedParents(t *testing.T) {
	const swaps, walks = 10_000, 50
	dir := t.TempDir()
	outside := filepath.Join(dir, "outside")
	root := filepath.Join(dir, "root")
	for _, d := range []string{outside, filepath.Join(root, "a", "b")} {
		must(t, os.MkdirAll(d, 0o755))
	}
	must(t, os.WriteFile(filepath.Join(outside, "f"), []byte("SECRET"), 0o600))
	must(t, os.WriteFile(filepath.Join(root, "a", "b", "f"), []byte("inside"), 0o600))
	// Between the look at b and the entering of it there is time: all names of
	// a directory are looked at first, and these are entered before b.
	for i := range 100 {
		must(t, os.Mkdir(filepath.Join(root, "a", fmt.Sprintf("a%02d", i)), 0o755))
	}
	must(t, os.Symlink(outside, filepath.Join(root, "a", "l")))
	must(t, os.Symlink(filepath.Join(outside, "f"), filepath.Join(root, "a", "b", "lf")))

	var done, enough atomic.Bool
	swapped := make(chan error, 1)
	go func() {
		defer done.Store(true)
		for n := 0; n < swaps || !enough.Load(); n++ {
			err := errors.Join(
				unix.Renameat2(unix.AT_FDCWD, root+"/a/b", unix.AT_FDCWD, root+"/a/l", unix.RENAME_EXCHANGE),
				ignoreMissing(unix.Renameat2(unix.AT_FDCWD, root+"/a/b/f", unix.AT_FDCWD, root+"/a/b/lf", unix.RENAME_EXCHANGE)))
			if err != nil {
				swapped <- err
				return
			}
		}
		swapped <- nil
	}()
	whole, refused := 0, 0
	for !done.Load() {
		enough.Store(whole+refused >= walks)
		layer, err := wholeLayer(root)
		if err != nil {
			refused++
			if !strings.Contains(err.Error(), "while it was read") {
				t.Errorf("Whole = %v, want an error that tells of a change", err)
			}
			continue
		}
		whole++
		if bytes.Contains(layer, []byte("SECRET")) {
			t.Fatal("the layer holds a file from outside the tree")
		}
		for archive := tar.NewReader(bytes.NewReader(layer)); ; {
			hdr, err := archive.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			must(t, err)
			if hdr.Typeflag == tar.TypeSymlink && hdr.Linkname == "" {
				t.Errorf("%s: link without a target", hdr.Name)
			}
		}
	}
	must(t, <-swapped)
	if whole+refused == 0 {
		t.Error("the tree was never read")
	}
	t.Logf("%d layers made, %d attempts given up", whole, refused)
}

func ignoreMissing(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// wholeLayer makes a layer of all that is below root.
func wholeLayer(root string) (layer []byte, err error) {
	tree, err := Whole(root, Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, tree.Close()) }()
	var out bytes.Buffer
	err = tree.WriteTar(context.Background(), &out, WriteOptions{})
	return out.Bytes(), err
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
