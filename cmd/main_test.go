// Package cmd tests the binaries together: pipes between them, and that the
// pages and completions tell the same as their help.
package cmd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// bin is the directory of the binaries, which TestMain builds once, as users
// have them: static, and in processes of their own.
var bin string

func TestMain(m *testing.M) {
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "oci-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// Tests run some of them as another user.
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	args := []string{"build", "-buildvcs=false", "-o", dir + "/"}
	if os.Getenv("GOCOVERDIR") != "" {
		args = append(args, "-cover", "-coverpkg=../lib/...,../cmd/...")
	}
	build := exec.Command("go", append(args, "./oci-copy", "./oci-unpack", "./oci-mount", "./oci-genspec", "./oci-run", "./oci-commit", "../scripts/lab-registry")...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v: %v\n%s", build, err, out)
		return 1
	}
	bin = dir
	return m.Run()
}

// tools are the names of the binaries.
func tools(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(bin, "oci-*"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("Glob = %q, %v, want binaries", paths, err)
	}
	names := make([]string, len(paths))
	for i, p := range paths {
		names[i] = filepath.Base(p)
	}
	return names
}

// help is what the tool prints for --help.
func help(t *testing.T, tool string) string {
	t.Helper()
	var stderr strings.Builder
	run := exec.CommandContext(t.Context(), filepath.Join(bin, tool), "--help")
	run.Stderr = &stderr
	out, err := run.Output()
	if err != nil || stderr.Len() != 0 {
		t.Fatalf("%v = %v, on stderr %q; want status 0 and silence", run, err, stderr.String())
	}
	return string(out)
}
