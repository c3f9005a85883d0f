package run

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// moveOne waits for the goroutine, with which its thread ends.
func moveOne(cgroups []string) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		moveThread(cgroups)
	}()
	<-done
}

// A thread is moved that ends, by either version's file, and where there is
// none, none is made.
func TestMoveThread(t *testing.T) {
	none, v2, v1 := t.TempDir(), t.TempDir(), t.TempDir()
	for _, file := range []string{filepath.Join(v2, "cgroup.threads"), filepath.Join(v1, "tasks")} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		moveOne([]string{none, filepath.Dir(file)})
		written, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if thread, err := strconv.Atoi(string(written)); err != nil || thread == os.Getpid() {
			t.Fatalf("%s: %q is no thread, or the first one", file, written)
		}
		thread := filepath.Join("/proc/self/task", string(written))
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			if _, err := os.Lstat(thread); err != nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: thread %s lives on", file, written)
			}
		}
	}
	if left, err := os.ReadDir(none); err != nil || len(left) > 0 {
		t.Errorf("in a cgroup without the files: %v, %v", left, err)
	}
}

// The process stays in its cgroups.
func TestWarmCgroups(t *testing.T) {
	before := readString(t, "/proc/self/cgroup")
	moveOne(cgroupsOf("self", cgroupMounts()))
	if after := readString(t, "/proc/self/cgroup"); after != before {
		t.Errorf("the process is in\n%s, was in\n%s", after, before)
	}
}

// A process that was moved after its cgroup had been looked up stays there.
func TestMovedMeanwhile(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root; moving a process between cgroups needs that")
	}
	before := cgroupsOf("self", cgroupMounts())
	if len(before) == 0 {
		t.Skip("no cgroup hierarchy is mounted here")
	}
	self := []byte(strconv.Itoa(os.Getpid()))
	moved := filepath.Join(before[0], "test-"+string(self))
	if err := os.Mkdir(moved, 0o755); errors.Is(err, unix.EROFS) || errors.Is(err, fs.ErrPermission) {
		t.Skipf("no cgroup can be made here: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(filepath.Join(before[0], "cgroup.procs"), self, 0); err != nil {
			t.Error(err)
		}
		if err := removeCgroup(moved, func() {}); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(moved, "cgroup.procs"), self, 0); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		moveOne(before)
	}
	if after := cgroupsOf("self", cgroupMounts()); len(after) == 0 || after[0] != moved {
		t.Errorf("the process is in %q, was moved to %s", after, moved)
	}
}

func readString(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
