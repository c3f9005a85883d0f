package run

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// A thread is moved that ends, by either version's file, and where there is
// none, none is made.
func TestMoveThread(t *testing.T) {
	none, v2, v1 := t.TempDir(), t.TempDir(), t.TempDir()
	for _, file := range []string{filepath.Join(v2, "cgroup.threads"), filepath.Join(v1, "tasks")} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			moveThread([]string{none, filepath.Dir(file)})
		}()
		<-done
		written, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := strconv.Atoi(string(written)); err != nil {
			t.Fatalf("%s: %q is no thread", file, written)
		}
		if string(written) == strconv.Itoa(os.Getpid()) {
			continue // the first thread, which Go only puts to sleep
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
	done := make(chan struct{})
	go func() {
		defer close(done)
		moveThread(cgroupsOf("self"))
	}()
	<-done
	if after := readString(t, "/proc/self/cgroup"); after != before {
		t.Errorf("the process is in\n%s, was in\n%s", after, before)
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
