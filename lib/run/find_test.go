package run

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// bench is a place to search in.
type bench struct {
	*testing.T
	Search
	warnings []string
}

func newBench(t *testing.T, dirs ...string) *bench {
	t.Helper()
	b := &bench{T: t}
	b.Path, b.RunRoot = strings.Join(dirs, ":"), t.TempDir()
	b.Warn = func(format string, args ...any) { b.warnings = append(b.warnings, fmt.Sprintf(format, args...)) }
	return b
}

// finds expects the runtime at path, and the number of warnings, each of which
// has the words.
func (b *bench) finds(path string, warnings int, words ...string) {
	b.Helper()
	b.warnings = nil
	r, err := b.Find(b.Context())
	if err != nil || r.Path != path {
		b.Errorf("found %q, %v, want %s", r.Path, err, path)
	}
	if len(b.warnings) != warnings {
		b.Errorf("warnings are %q, want %d", b.warnings, warnings)
	}
	for _, w := range b.warnings {
		for _, word := range words {
			if !strings.Contains(w, word) {
				b.Errorf("warning %q lacks %q", w, word)
			}
		}
	}
}

// program writes an executable script, and returns its path.
func program(t *testing.T, dir, name, script string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// The first runtime of PATH that can be executed is taken, and asked once.
func TestFindInPath(t *testing.T) {
	runc, err := exec.LookPath("runc")
	if err != nil {
		t.Skip("needs runc: apt-get install runc")
	}
	empty, first, second := t.TempDir(), t.TempDir(), t.TempDir()
	asked := filepath.Join(t.TempDir(), "asked")
	counted := program(t, second, "runc", `echo "$@" >>`+asked+`; exec `+runc+` "$@"`)
	b := newBench(t, "", ".", empty, first, second)
	old := 0
	if out, err := exec.Command(runc, "--version").Output(); err == nil && tooOld(strings.SplitN(string(out), "\n", 2)[0]) != "" {
		old = 1
	}
	b.finds(counted, old, "CVE-2025-31133")
	b.finds(counted, 0)
	if got := readString(t, asked); got != "--version\n" {
		t.Errorf("the runtime was called with %q, want one question for its version", got)
	}

	// A later one is asked anew when it has changed.
	counted = program(t, second, "runc", `echo changed >>`+asked+`; exec `+runc+` "$@"`)
	b.finds(counted, old)
	if got := readString(t, asked); got != "--version\nchanged\n" {
		t.Errorf("after a change the runtime was called with %q", got)
	}

	// One that does not work is passed over, and so is what is no program.
	broken := program(t, first, "runc", "exit 3")
	b.Pinned = []string{counted}
	b.finds(counted, 1, broken+" is passed over", "exit status 3")
	if err := os.Chmod(broken, 0o644); err != nil {
		t.Fatal(err)
	}
	b.finds(counted, 0)
	if err := os.Remove(broken); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(broken, 0o755); err != nil {
		t.Fatal(err)
	}
	b.finds(counted, 0)
}

// Where there is none, the pinned one is the last resort, and the error says
// what to install.
func TestFindPinnedOrNothing(t *testing.T) {
	dir, empty := t.TempDir(), t.TempDir()
	pinned := program(t, dir, "runc", "echo runc version 1.5.2")
	b := newBench(t, empty)
	b.Pinned = []string{filepath.Join(empty, "missing"), pinned}
	b.finds(pinned, 0)
	b.Pinned = nil
	r, err := b.Find(t.Context())
	if !errors.Is(err, fault.ErrNotFound) || !strings.Contains(strings.Join(fault.Hints(err), "\n"), "install one with") {
		t.Errorf("found %q, %v, hints %q", r.Path, err, fault.Hints(err))
	}
}

// What was asked for is taken, or nothing.
func TestFindWanted(t *testing.T) {
	dir := t.TempDir()
	other := program(t, dir, "crun", "exit 1")
	pinned := program(t, t.TempDir(), "runc", "exit 1")
	data := filepath.Join(dir, "data")
	if err := os.WriteFile(data, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, dir)
	b.Pinned = []string{pinned}
	for wanted, path := range map[string]string{"crun": other, other: other, "runc": pinned} {
		b.Wanted = wanted
		b.finds(path, 0)
	}
	for wanted, words := range map[string]string{
		"youki":                      `runtime "youki" is not in PATH`,
		data:                         "permission denied",
		dir + "/":                    "not a regular file",
		filepath.Join(dir, "absent"): "no such file",
	} {
		b.Wanted = wanted
		if r, err := b.Find(t.Context()); !errors.Is(err, fault.ErrNotFound) || !strings.Contains(err.Error(), words) {
			t.Errorf("wanted %s: found %q, %v, want an error with %q", wanted, r.Path, err, words)
		}
	}
}

func TestTooOld(t *testing.T) {
	for line, old := range map[string]bool{
		"runc version 1.1.5+ds1":   true,
		"runc version 1.3.5":       true,
		"runc version 1.3.6":       false,
		"runc version 1.4.2":       true,
		"runc version 1.4.3":       false,
		"runc version 1.5.0-rc.1":  false,
		"runc version 1.5.2":       false,
		"runc version 2.0.0":       false,
		"runc version unreleased":  false,
		"crun version 1.1":         false,
		"":                         false,
		"runc version 1.2.99+dev1": true,
	} {
		if got := tooOld(line); (got != "") != old {
			t.Errorf("tooOld(%q) = %q, want old: %v", line, got, old)
		}
	}
}
