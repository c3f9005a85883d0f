package run

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestGuessCgroups(t *testing.T) {
	v1 := []cgroupMount{{point: "/cg/cpu", root: "/", controllers: []string{"cpu"}}, {point: "/cg/unified", root: "/"}}
	v2 := []cgroupMount{{point: "/cg", root: "/"}}
	for _, c := range []struct {
		mounts    []cgroupMount
		own, want []string
	}{
		{v1, []string{"/cg/cpu/a/b", "/cg/unified"}, []string{"/cg/cpu/a/b/ID", "/cg/cpu/ID", "/cg/unified/ID"}},
		{v2, []string{"/cg/system.slice/job.service"}, []string{"/cg/system.slice/job.service/ID", "/cg/system.slice/ID", "/cg/ID"}},
		{v2, []string{"/cg"}, []string{"/cg/ID"}},
		{v2, nil, nil},
	} {
		if got := guessCgroups("ID", c.own, c.mounts); !slices.Equal(got, c.want) {
			t.Errorf("guessCgroups(%q) = %q, want %q", c.own, got, c.want)
		}
	}
}

// A guessed cgroup goes only when it is empty and not older than the container:
// somebody can call a container system.slice.
func TestGuessedCgroupsOfOthersStay(t *testing.T) {
	dir := t.TempDir()
	created := time.Now()
	for _, name := range []string{"own", "older", "full"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "full", "below"), 0o755); err != nil {
		t.Fatal(err)
	}
	before := created.Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "older"), before, before); err != nil {
		t.Fatal(err)
	}
	rec := Record{ID: "x", Created: created}
	for _, name := range []string{"own", "older", "full", "missing"} {
		rec.Cgroups = append(rec.Cgroups, filepath.Join(dir, name))
	}
	if err := rec.removeCgroups(); err != nil {
		t.Error(err)
	}
	for name, stays := range map[string]bool{"own": false, "older": true, "full": true} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != stays {
			t.Errorf("%s: %v, want there %v", name, err, stays)
		}
	}
}
