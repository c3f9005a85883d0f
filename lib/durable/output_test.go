package durable

import (
	"os"
	"path/filepath"
	"testing"
)

func publishNew(t *testing.T, path string) *Output {
	t.Helper()
	o, err := OpenOutput(path)
	must(t, err)
	_, err = o.WriteString("new")
	must(t, err)
	must(t, o.Publish())
	return o
}

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	return string(data)
}

func TestOutputComesBack(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	o := publishNew(t, path)
	must(t, o.Undo())
	must(t, o.Drop())
	if got := names(t, dir); len(got) != 0 {
		t.Errorf("a new file that is undone leaves %v", got)
	}
	must(t, os.WriteFile(path, []byte("old"), 0o600))
	o = publishNew(t, path)
	if got := content(t, path); got != "new" {
		t.Errorf("published: %q", got)
	}
	must(t, o.Undo())
	must(t, o.Drop())
	if got := content(t, path); got != "old" || len(names(t, dir)) != 1 {
		t.Errorf("undone: %q, beside %v", got, names(t, dir))
	}
}

func TestFormerOutputIsNotSwept(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	must(t, os.WriteFile(path, []byte("old"), 0o600))
	o := publishNew(t, path)
	Sweep(dir)
	must(t, o.Undo())
	must(t, o.Drop())
	if got := content(t, path); got != "old" {
		t.Errorf("after a sweep: %q", got)
	}
}

func TestUndoLeavesTheOutputOfOthers(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	must(t, os.WriteFile(path, []byte("old"), 0o600))
	o := publishNew(t, path)
	must(t, ReplaceFile(path, []byte("theirs"), 0o600))
	must(t, o.Undo())
	must(t, o.Drop())
	if got := content(t, path); got != "theirs" || len(names(t, dir)) != 1 {
		t.Errorf("undone: %q, beside %v", got, names(t, dir))
	}
}

func TestUnfinishedOutputLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	o, err := OpenOutput(filepath.Join(dir, "f"))
	must(t, err)
	must(t, o.Drop())
	must(t, o.Drop())
	if got := names(t, dir); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}
