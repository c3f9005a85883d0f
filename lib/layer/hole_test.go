package layer

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/internal/testimage"
	"github.com/oci-plumbing/oci-plumbing/lib/erofs"
)

// Layers are written without sparse maps, so a sparse file arrives as zeros.
func TestZerosBecomeHoles(t *testing.T) {
	needRoot(t)
	zero := func(n int) string { return string(make([]byte, n)) }
	const mib = 1 << 20
	for _, c := range []struct {
		name, content string
		most          int64 // bytes on the disk; 0: those of the content at least
	}{
		{"all", zero(4 * mib), 128 << 10},
		{"odd length", zero(4*mib + 4711), 128 << 10},
		{"behind data", "x" + zero(4*mib), 192 << 10},
		{"before data", zero(4*mib) + "x", 192 << 10},
		{"between data", strings.Repeat("x", mib+1) + zero(4*mib+2) + strings.Repeat("y", mib+3), 2*mib + 256<<10},
		{"a last byte that is none", zero(mib-1) + "x", 192 << 10},
		{"less than a block", zero(holeSize - 1), 0},
		{"not a block", strings.Repeat(zero(holeSize-1)+"x", 8), 0},
		{"nearly aligned", strings.Repeat("x"+zero(holeSize-1), 8), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			// A neighbour moves the body against the chunks of the stream.
			m, layers := stack(t, []testimage.Entry{testimage.File("before", strings.Repeat("b", 1234)), testimage.File("f", c.content), testimage.File("behind", "z")})
			root, _, err := unpackTo(t, m, layers, Options{Digests: true})
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(root, "f")
			got, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != c.content {
				t.Errorf("the file of %d bytes differs from the archive's of %d", len(got), len(c.content))
			}
			used := stat(t, path).Blocks * 512
			if c.most > 0 && used > c.most {
				t.Errorf("%d bytes take %d on the disk, want at most %d", len(got), used, c.most)
			}
			if c.most == 0 && used < int64(len(c.content)) {
				t.Errorf("%d bytes take %d on the disk: short runs of zeros are to be written", len(got), used)
			}
		})
	}
}

// The image holds the archive byte for byte, on less disk.
func TestImageHasHoles(t *testing.T) {
	content := "head" + string(make([]byte, 4<<20)) + "tail"
	m, layers := stack(t, []testimage.Entry{testimage.File("f", content)})
	image, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	if _, err := ExtractImage(context.Background(), m, layers[0], image, Options{}); err != nil {
		t.Fatal(err)
	}
	plain := testimage.Tar(t, testimage.File("f", content))
	got, err := io.ReadAll(io.NewSectionReader(image, erofs.Start, int64(len(plain))))
	if err != nil || !bytes.Equal(got, plain) {
		t.Errorf("the archive in the image is another one (%v)", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(image.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	if used := st.Blocks * 512; used > 256<<10 {
		t.Errorf("the image of %d bytes takes %d on the disk", st.Size, used)
	}
}
