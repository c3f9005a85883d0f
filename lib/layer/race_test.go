package layer

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/internal/testimage"
)

// Another process exchanges a directory of the tree for a symlink to the
// outside, over and over, while the layers are applied. The run may fail; what
// is outside stays as it is (CVE-2018-15664).
func TestSwappedDirectory(t *testing.T) {
	needRoot(t)
	outside := t.TempDir()
	for name, content := range map[string]string{"f1": "outside", "keep": "outside"} {
		if err := os.WriteFile(filepath.Join(outside, name), []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	before := metadata(t, outside)
	var first, second []testimage.Entry
	for d := range 40 {
		dir := fmt.Sprintf("a/d%d", d)
		first = append(first, testimage.Dir(dir, testimage.Mode(0o777)))
		for f := range 20 {
			first = append(first, testimage.File(fmt.Sprintf("%s/f%d", dir, f), "inside", testimage.Mode(0o666)))
		}
		second = append(second, testimage.Whiteout(dir+"/f1"), testimage.Hardlink(dir+"/h", dir+"/f2"))
	}
	m, layers := stack(t, first, second)
	for round := range 20 {
		root := emptyRoot(t)
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			swap(root, outside, stop)
		}()
		_, err := Unpack(context.Background(), m, layers, root, Options{BottomUp: round%2 == 0})
		close(stop)
		<-stopped
		if err != nil && round == 0 {
			t.Logf("Unpack = %v", err)
		}
		if after := metadata(t, outside); !slices.Equal(before, after) {
			t.Fatalf("outside was\n%s\nand is\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
		}
	}
}

// swap exchanges a and every directory in it for links to the outside.
func swap(root, outside string, stop <-chan struct{}) {
	trap := filepath.Join(filepath.Dir(root), "trap")
	_ = os.Symlink(outside, trap)
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		name := root + "/a"
		if i%2 == 1 {
			name = fmt.Sprintf("%s/a/d%d", root, i/2%40)
		}
		for range 2 { // there and back
			_ = unix.Renameat2(unix.AT_FDCWD, trap, unix.AT_FDCWD, name, unix.RENAME_EXCHANGE)
		}
	}
}
