package main

import (
	"context"
	"os"
	"os/exec"
	"testing"
)

// TestSample tries the points of one seed. "make faults" tries many more.
func TestSample(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the sweep mounts and traces: it needs root")
	}
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("needs strace; install it with: apt-get install strace")
	}
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin, "../../cmd/...")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	s, err := newSweep(bin, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
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

func TestVerifierNotices(t *testing.T) {
	dir := t.TempDir()
	if err := verifyLayout(dir, nil, true); err == nil {
		t.Error("an empty directory passes for a layout")
	}
}
