package run

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// The cgroup is gone when the end is seen, as with systemd.
func TestMemoryWatch(t *testing.T) {
	killed := Outcome{Signal: int(unix.SIGKILL)}
	for name, c := range map[string]struct {
		events string
		end    Outcome
		want   bool
	}{
		"killed":         {"low 0\nmax 7\noom 1\noom_kill 1\n", killed, true},
		"a child killed": {"low 0\nmax 7\noom 1\noom_kill 1\n", Outcome{Code: 9}, true},
		"at the limit":   {"low 0\nmax 7\noom 0\noom_kill 0\n", Outcome{}, false},
		"nothing":        {"", killed, false},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "memory.events")
		if err := os.WriteFile(path, []byte("low 0\nmax 0\noom 0\noom_kill 0\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		w, err := watchMemory([]string{"/nonexistent", dir})
		if err != nil || w == nil {
			t.Fatalf("watchMemory = %v, %v", w, err)
		}
		if c.events != "" {
			if err := os.WriteFile(path, []byte(c.events), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := w.end(c.end); got != c.want {
			t.Errorf("%s: end = %v, want %v", name, got, c.want)
		}
	}
}

// A change that comes with the removal was a kill if the program was killed.
func TestMemoryWatchTooLate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "scope")
	w := &memoryWatch{dir: dir, ended: make(chan struct{})}
	r, events, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w.events = r
	go w.look()
	modify := make([]byte, unix.SizeofInotifyEvent)
	modify[4] = unix.IN_MODIFY
	if _, err := events.Write(modify); err != nil {
		t.Fatal(err)
	}
	if !w.end(Outcome{Signal: int(unix.SIGKILL)}) {
		t.Error("a kill was not seen")
	}
	if (&memoryWatch{missed: true, events: r, ended: w.ended}).end(Outcome{Code: 1}) {
		t.Error("a program that ended by itself was not killed")
	}
	if (*memoryWatch)(nil).end(Outcome{}) {
		t.Error("nothing was watched")
	}
}
