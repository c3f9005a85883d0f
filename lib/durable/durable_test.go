package durable

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
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

func TestTempDirOfTheDeadGoes(t *testing.T) {
	parent := t.TempDir()
	dead := filepath.Join(parent, dirPrefix+"dead")
	for _, dir := range []string{dead, filepath.Join(parent, TempPrefix+"bundle-x"), filepath.Join(parent, "other")} {
		must(t, os.Mkdir(dir, 0o700))
		must(t, os.WriteFile(filepath.Join(dir, "f"), nil, 0o600))
	}
	live, err := MakeTempDir(parent, 0o700)
	must(t, err)
	SweepDirs(parent)
	want := []string{TempPrefix + "bundle-x", filepath.Base(live.Path), "other"}
	if got := names(t, parent); !slices.Equal(got, want) {
		t.Errorf("after the sweep: %v, want %v", got, want)
	}
	must(t, os.WriteFile(filepath.Join(live.Path, "f"), nil, 0o600))
	if err := live.Publish(filepath.Join(parent, "other")); !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) {
		t.Errorf("Publish over others = %v", err)
	}
	must(t, live.Publish(filepath.Join(parent, "whole")))
	must(t, live.Drop())
	if got := names(t, filepath.Join(parent, "whole")); !slices.Equal(got, []string{"f"}) {
		t.Errorf("published: %v", got)
	}
}

// Those who make and those who sweep do not hinder each other.
func TestTempDirsSideBySide(t *testing.T) {
	parent := t.TempDir()
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			for range 20 {
				d, err := MakeTempDir(parent, 0o700)
				if err != nil {
					t.Error(err)
					return
				}
				if err := os.WriteFile(filepath.Join(d.Path, "f"), nil, 0o600); err != nil {
					t.Error(err)
				}
				if err := d.Drop(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if got := names(t, parent); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}
