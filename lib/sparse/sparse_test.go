package sparse_test

import (
	"bytes"
	"errors"
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

func TestWriteZeros(t *testing.T) {
	var out bytes.Buffer
	const size = 100<<10 + 7
	if n, err := sparse.WriteZeros(&out, size, nil); n != size || err != nil || !bytes.Equal(out.Bytes(), make([]byte, size)) {
		t.Errorf("WriteZeros = %d, %v, and %d bytes", n, err, out.Len())
	}
	out.Reset()
	if n, err := sparse.WriteZeros(&out, -1, nil); n != 0 || err != nil || out.Len() > 0 {
		t.Errorf("WriteZeros of less than none = %d, %v", n, err)
	}
	enough := errors.New("enough")
	calls := 0
	n, err := sparse.WriteZeros(&out, 1<<30, func() error {
		calls++
		if calls > 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || n != int64(out.Len()) || n == 0 {
		t.Errorf("WriteZeros that is ended = %d, %v, and %d bytes", n, err, out.Len())
	}
}
