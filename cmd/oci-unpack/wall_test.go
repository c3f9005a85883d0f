package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// brokenTool builds oci-unpack with a resolver that is broken on purpose: what
// keeps its writes inside is the second wall alone.
func brokenTool(t *testing.T) string {
	t.Helper()
	compiler, err := exec.LookPath("go")
	if err != nil {
		t.Skip("needs the go tool, to build oci-unpack without its first wall")
	}
	tool := filepath.Join(t.TempDir(), "oci-unpack")
	build := exec.Command(compiler, "build", "-buildvcs=false", "-tags=containers_image_openpgp,urfave_cli_no_docs,evilresolver", "-o", tool, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return tool
}

// Each of these images makes the broken resolver write outside, and the kernel
// refuses it: that it was tried shows in the error.
func TestSecondWallAlone(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: others may have no mount namespace, and then no second wall")
	}
	tool := brokenTool(t)
	outside := t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "victim"), []byte("v"), 0o640))
	for name, text := range map[string]string{
		"parent":         "../../../escaped=1",
		"absolute":       outside + "/escaped=1",
		"link":           "link->" + outside + " link/escaped=1",
		"link to parent": "link->../../.. link/escaped=1",
		"directory":      "link->" + outside + " link/dir/",
	} {
		t.Run(name, func(t *testing.T) {
			work := t.TempDir()
			layout := filepath.Join(work, "layout")
			writeImage(t, layout, "t", ispec.Platform{OS: "linux", Architecture: runtime.GOARCH}, testLayer{text, asGzip})
			before := append(snapshot(t, outside), snapshot(t, work)...)
			var stderr bytes.Buffer
			unpack := exec.Command(tool, "-q", layout+":t", filepath.Join(work, "b"))
			unpack.Stderr = &stderr
			if err := unpack.Run(); err == nil || !strings.Contains(stderr.String(), "read-only file system") {
				t.Errorf("oci-unpack: %v, %s, want that the kernel refused it", err, &stderr)
			}
			after := append(snapshot(t, outside), snapshot(t, work)...)
			if diff := cmp.Diff(names(before), names(after)); diff != "" {
				t.Errorf("outside changed (-before +after):\n%s", diff)
			}
		})
	}
}

// names drops from a snapshot the time of the directory that the bundle was
// made in, and removed from again.
func names(snapshot []string) []string {
	out := make([]string, len(snapshot))
	for i, line := range snapshot {
		path, rest, _ := strings.Cut(line, " ")
		if !strings.Contains(rest, `"`) { // a directory: its time is its children's
			rest = ""
		}
		out[i] = path + " " + rest
	}
	return out
}
