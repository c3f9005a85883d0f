package layer

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// sparseTar has GNU tar pack a file of 10 MiB with two small islands.
func sparseTar(t *testing.T, format string) []byte {
	t.Helper()
	if _, err := exec.LookPath("tar"); err != nil {
		t.Skip("needs GNU tar: apt-get install tar")
	}
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for text, offset := range map[string]int64{"one": 1 << 20, "two": 9 << 20} {
		if _, err := f.WriteAt([]byte(text), offset); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(10 << 20); err != nil {
		t.Fatal(err)
	}
	args := []string{"-c", "-S", "-C", dir}
	if version, ok := strings.CutPrefix(format, "posix"); ok {
		args = append(args, "--format=posix", "--sparse-version="+version)
	} else {
		args = append(args, "--format="+format)
	}
	out, err := exec.Command("tar", append(args, "sparse")...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}
