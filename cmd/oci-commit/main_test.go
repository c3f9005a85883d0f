package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/overlay"
)

func TestMain(m *testing.M) {
	testscript.Main(tests{m}, map[string]func(){"oci-commit": main})
}

// tests removes behind the tests the binaries that they built.
type tests struct{ *testing.M }

func (t tests) Run() int {
	status := t.M.Run()
	if binaries != "" {
		_ = os.RemoveAll(binaries)
	}
	return status
}

// binaries is the directory that built has made; empty before.
var binaries string

// built returns the directory of the other binaries, as users have them.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "oci-bin-")
	if err != nil {
		return "", err
	}
	binaries = dir
	build := exec.Command("go", "build", "-o", dir+"/", "../oci-unpack", "../oci-mount")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v: %w\n%s", build, err, out)
	}
	return dir, nil
})

// tool returns the path of another binary of ours.
func tool(t testing.TB, name string) string {
	t.Helper()
	dir, err := built()
	must(t, err)
	return filepath.Join(dir, name)
}

// runOut runs a program, which must succeed, and returns its output.
func runOut(t testing.TB, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, stderr.String())
	}
	return strings.TrimSuffix(string(out), "\n")
}

// result is what one run of oci-commit in this process gave.
type result struct {
	status         int
	stdout, stderr string
}

// runCommit runs oci-commit with an empty standard input.
func runCommit(t testing.TB, args ...string) result {
	t.Helper()
	in, err := os.Open(os.DevNull)
	must(t, err)
	defer in.Close()
	var stdout, stderr bytes.Buffer
	status := cli.Main(command(), args, cli.Stdio{In: in, Out: &stdout, Err: &stderr})
	return result{status, stdout.String(), stderr.String()}
}

// mustCommit runs oci-commit, which must succeed.
func mustCommit(t testing.TB, args ...string) {
	t.Helper()
	r := runCommit(t, args...)
	if r.status != 0 {
		t.Fatalf("oci-commit %q = status %d\n%s", args, r.status, r.stderr)
	}
}

// needRoot skips what mounts or sets owners.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount and to set owners")
	}
}

// mountImage mounts an image for the time of the test, and returns the bundle.
func mountImage(t testing.TB, image, dir string) string {
	t.Helper()
	bundle := filepath.Join(dir, "mounted")
	runOut(t, tool(t, "oci-mount"), "--root", filepath.Join(dir, "root"), image, bundle)
	t.Cleanup(func() { _ = overlay.Unmount(filepath.Join(bundle, "rootfs"), true) })
	return bundle
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
