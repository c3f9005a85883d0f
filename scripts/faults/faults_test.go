package main

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"testing"
)

// newTestSweep builds the tools and makes the images.
func newTestSweep(t *testing.T) *sweep {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("the sweep mounts and traces: it needs root")
	}
	if err := able(); err != nil {
		t.Skip(err)
	}
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin, "../../cmd/...")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	s, err := newSweep(bin, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestSweep(t *testing.T) {
	s := newTestSweep(t)
	t.Run("sample", func(t *testing.T) { trySample(t, s) })
	t.Run("removal cut anywhere", func(t *testing.T) { tryRemovals(t, s) })
}

// trySample tries the points of one seed. "make faults" tries many more.
func trySample(t *testing.T, s *sweep) {
	points := 500
	if testing.Short() {
		points = 50
	}
	chosen, err := s.choose(points, 1, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.try(context.Background(), chosen); err != nil {
		t.Error(err)
	}
}

// tryRemovals strikes at every call by which a bundle is removed, and at every
// read before: none may leave what the next removal does not know.
func tryRemovals(t *testing.T, s *sweep) {
	i := slices.IndexFunc(operations, func(op operation) bool { return op.name == "umount" })
	counts, err := s.count(operations[i])
	if err != nil {
		t.Fatal(err)
	}
	var points []trial
	for _, blow := range []struct {
		class string
		kind  kind
	}{{"unlink", kill}, {"read", eio}} {
		for n := range counts[blow.class] {
			points = append(points, point{op: "umount", class: blow.class, kind: blow.kind, n: n + 1})
		}
	}
	if len(points) == 0 {
		t.Fatal("the removal makes no call that could be struck")
	}
	if err := s.try(context.Background(), points); err != nil {
		t.Error(err)
	}
}

func TestVerifierNotices(t *testing.T) {
	dir := t.TempDir()
	if err := verifyLayout(dir, nil, true); err == nil {
		t.Error("an empty directory passes for a layout")
	}
}
