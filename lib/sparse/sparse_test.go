package sparse_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/oci-plumbing/oci-plumbing/lib/sparse"
)

func TestNextData(t *testing.T) {
	const mib = 1 << 20
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, mib), mib); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(4 * mib); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][3]int64{{0, mib, 2 * mib}, {mib + 5, mib + 5, 2 * mib}, {2 * mib, 4 * mib, 4 * mib}, {4 * mib, 4 * mib, 4 * mib}} {
		if data, end := sparse.NextData(int(f.Fd()), c[0], 4*mib); data != c[1] || end != c[2] {
			t.Errorf("NextData(%d) = %d, %d, want %d, %d", c[0], data, end, c[1], c[2])
		}
	}
	if data, end := sparse.NextData(-1, 7, 9); data != 7 || end != 9 {
		t.Errorf("NextData of no file = %d, %d, want all", data, end)
	}
}
