package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/oci-plumbing/oci-plumbing/lib/overlay"
)

// layoutOf makes a layout with one image, tag "t", of n small layers.
func layoutOf(t *testing.T, n int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "img")
	must(t, os.Mkdir(dir, 0o755))
	layers := make([][]entry, n)
	for i := range layers {
		layers[i] = []entry{directory("d", 0o755), file(fmt.Sprintf("d/from-%d", i), fmt.Sprint(i))}
	}
	writeImage(t, dir, "t", layers...)
	return dir
}

// runTool runs oci-mount with a state directory.
func runTool(t *testing.T, root string, words ...string) {
	t.Helper()
	out, err := tool(t, append([]string{"--root", root}, words...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("oci-mount %v: %v\n%s", words, err, out)
	}
}

// TestParallelMountsOfAColdCache: each layer is extracted once, and nobody
// fails.
func TestParallelMountsOfAColdCache(t *testing.T) {
	needRoot(t)
	const mounts, layers = 32, 5
	image, work := layoutOf(t, layers)+":t", t.TempDir()
	root := filepath.Join(work, "root")
	var group sync.WaitGroup
	var mu sync.Mutex
	said := ""
	for i := range mounts {
		group.Go(func() {
			out, err := tool(t, "-v", "--root", root, image, filepath.Join(work, fmt.Sprint("b", i))).CombinedOutput()
			mu.Lock()
			defer mu.Unlock()
			said += string(out)
			if err != nil {
				t.Errorf("mount %d: %v\n%s", i, err, out)
			}
		})
	}
	group.Wait()
	if n := strings.Count(said, "note: layer "); n != layers {
		t.Errorf("%d extractions of %d layers:\n%s", n, layers, said)
	}
	for i := range mounts {
		rootfs := filepath.Join(work, fmt.Sprint("b", i), "rootfs")
		if names, err := os.ReadDir(rootfs + "/d"); err != nil || len(names) != layers {
			t.Errorf("mount %d shows %v, %v", i, names, err)
		}
	}
	runTool(t, root, "--rm", "--all")
}

// TestHundredMounts: a hundred mounts of one image stand at a time, made and
// removed while others are.
func TestHundredMounts(t *testing.T) {
	needRoot(t)
	const mounts = 100
	image, root := layoutOf(t, 3)+":t", filepath.Join(t.TempDir(), "root")
	made := make([]string, mounts)
	var group sync.WaitGroup
	for i := range mounts {
		group.Go(func() {
			m, err := tool(t, "--root", root, image).CombinedOutput()
			if err != nil {
				t.Errorf("mount %d: %v\n%s", i, err, m)
				return
			}
			made[i] = strings.TrimSpace(string(m))
		})
	}
	group.Wait()
	for i, m := range made {
		if names, err := os.ReadDir(m + "/d"); err != nil || len(names) != 3 {
			t.Errorf("mount %d shows %v, %v", i, names, err)
		}
		group.Go(func() {
			if out, err := tool(t, "--root", root, "--rm", m).CombinedOutput(); err != nil {
				t.Errorf("remove %d: %v\n%s", i, err, out)
			}
		})
	}
	group.Wait()
	if left, err := os.ReadDir(filepath.Join(root, "mounts")); err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

// TestManyLayers: up to the kernel's limit they are stacked, beyond it merged.
// The layers are bare: none but the lowest has entries for its directories, so
// that a fixup layer comes on top of them.
func TestManyLayers(t *testing.T) {
	needRoot(t)
	if testing.Short() {
		t.Skip("five hundred extractions")
	}
	root := filepath.Join(t.TempDir(), "root") // the layers are the same
	for _, n := range []int{499, 500, 520} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			bundle := filepath.Join(t.TempDir(), "b")
			image := bareLayout(t, n) + ":t"
			runTool(t, root, image, bundle)
			names, err := os.ReadDir(bundle + "/rootfs/d")
			if err != nil || len(names) != n {
				t.Errorf("%d names, %v; want %d", len(names), err, n)
			}
			for path, mode := range map[string]os.FileMode{"d": 0o711, "own-7/3": 0o755} {
				if info, err := os.Stat(bundle + "/rootfs/" + path); err != nil || info.Mode().Perm() != mode {
					t.Errorf("%s is %v, %v; want %v", path, info, err, mode)
				}
			}
			runTool(t, root, "--rm", bundle)
		})
	}
}

// bareLayout makes a layout with an image of n layers, most of whose
// directories no other layer has.
func bareLayout(t *testing.T, n int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "img")
	must(t, os.Mkdir(dir, 0o755))
	layers := make([][]entry, n)
	layers[0] = []entry{directory("d", 0o711)}
	for i := range layers {
		layers[i] = append(layers[i], file(fmt.Sprintf("d/from-%d", i), ""))
		for j := range 10 {
			layers[i] = append(layers[i], file(fmt.Sprintf("own-%d/%d/f", i, j), ""))
		}
	}
	writeImage(t, dir, "t", layers...)
	return dir
}

// TestKilled kills oci-mount at every system call of each class in turn. What
// is in the cache afterwards is whole, nothing is mounted that a list does not
// show, and the next run clears the rest.
func TestKilled(t *testing.T) {
	t.Parallel()
	needRoot(t)
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("no strace here; install it with: apt-get install strace")
	}
	if testing.Short() {
		t.Skip("some hundred runs")
	}
	image := layoutOf(t, 3) + ":t"
	binary := filepath.Join(t.TempDir(), "oci-mount")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, class := range []string{
		"mkdirat,mkdir", "renameat,renameat2,rename", "fsync,syncfs", "symlinkat", "fsconfig", "move_mount", "flock", "pwrite64", "unlinkat",
	} {
		t.Run(class, func(t *testing.T) {
			t.Parallel()
			n := 1
			for n < 40 && killedAt(t, binary, image, class, n) {
				n++
			}
			if n == 1 {
				t.Errorf("no call of %s was reached", class)
			}
			t.Logf("killed %d times", n-1)
		})
	}
}

// killedAt kills it before call n of the class, and reports whether the call
// was reached.
func killedAt(t *testing.T, binary, image, class string, n int) bool {
	t.Helper()
	work := t.TempDir()
	bundle, root, trace := filepath.Join(work, "b"), filepath.Join(work, "root"), filepath.Join(work, "trace")
	strace := exec.CommandContext(t.Context(), "strace", "-f", "-qq", "-o", trace, "-e", "trace="+class,
		"-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", class, n), binary, "--root", root, image, bundle)
	// Calls are counted for each thread: with few threads more are reached.
	strace.Env = append(os.Environ(), "GOMAXPROCS=1")
	_ = strace.Run() // it is killed
	said, err := os.ReadFile(trace)
	must(t, err)

	// Whatever was made: the same command must work afterwards, on what is
	// there, and the result must be right.
	if m, err := overlay.At(bundle + "/rootfs"); err != nil {
		t.Fatal(err)
	} else if m != nil {
		runTool(t, root, "-u", bundle)
	}
	runTool(t, root, "--gc")
	if left, err := os.ReadDir(filepath.Join(root, "tmp")); err == nil && len(left) > 0 {
		t.Errorf("%s %d: left over: %v", class, n, left)
	}
	runTool(t, root, image, bundle)
	if names, err := os.ReadDir(bundle + "/rootfs/d"); err != nil || len(names) != 3 {
		t.Errorf("%s %d: the mount shows %v, %v", class, n, names, err)
	}
	var state struct{ Layers []json.RawMessage }
	data, err := os.ReadFile(bundle + "/oci-bundle.json")
	must(t, err)
	if err := json.Unmarshal(data, &state); err != nil || len(state.Layers) != 3 {
		t.Errorf("%s %d: state is %s", class, n, data)
	}
	runTool(t, root, "--rm", bundle)
	return strings.Contains(string(said), "INJECTED") || strings.Contains(string(said), "killed by SIGKILL")
}
