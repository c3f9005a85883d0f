package durable

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestReplaceFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, content := range []string{"one", "two"} {
		must(t, ReplaceFile(path, []byte(content), 0o640))
		got, err := os.ReadFile(path)
		if err != nil || string(got) != content {
			t.Errorf("read %q, %v, want %q", got, err, content)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode is %v, %v", info.Mode(), err)
	}
	boom := errors.New("boom")
	if err := Replace(path, func(*os.File) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("Replace = %v, want boom", err)
	}
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("left: %v", got)
	}
}

func TestSweepTakesTheDeadOnly(t *testing.T) {
	dir := t.TempDir()
	live, err := namedTemp(dir)
	must(t, err)
	defer live.Close()
	dead := filepath.Join(dir, TempPrefix+"dead")
	must(t, os.WriteFile(dead, nil, 0o600))
	other := filepath.Join(dir, "other")
	must(t, os.WriteFile(other, nil, 0o600))
	Sweep(dir)
	got := names(t, dir)
	if len(got) != 2 || got[0] != filepath.Base(live.name) || got[1] != "other" {
		t.Errorf("after the sweep: %v", got)
	}
}

func TestTempHasNoNameUntilItIsWhole(t *testing.T) {
	dir := t.TempDir()
	f, err := Temp(dir)
	must(t, err)
	if got := names(t, dir); len(got) != 0 {
		t.Skipf("the file system has no unnamed files: %v", got)
	}
	path := filepath.Join(dir, "a")
	must(t, f.Rename(path))
	must(t, f.Drop())
	must(t, f.Drop())
	again, err := Temp(dir)
	must(t, err)
	_, err = again.WriteString("second")
	must(t, err)
	must(t, again.Rename(path))
	must(t, again.Drop())
	got, err := os.ReadFile(path)
	if err != nil || string(got) != "second" || len(names(t, dir)) != 1 {
		t.Errorf("read %q, %v; the directory holds %v", got, err, names(t, dir))
	}
}

func TestNamedTempIsDropped(t *testing.T) {
	dir := t.TempDir()
	f, err := namedTemp(dir)
	must(t, err)
	must(t, f.Drop())
	if got := names(t, dir); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
	f, err = namedTemp(dir)
	must(t, err)
	must(t, f.Rename(filepath.Join(dir, "a")))
	must(t, f.Drop())
	if got := names(t, dir); len(got) != 1 || got[0] != "a" {
		t.Errorf("the directory holds %v", got)
	}
}
