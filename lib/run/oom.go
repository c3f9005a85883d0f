package run

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// outOfMemory reports whether the kernel has killed a process of the cgroups
// for lack of memory: oom_kill in memory.events (v2) or memory.oom_control
// (v1, since Linux 4.13). The counters are complete once the process is gone,
// and need neither inotify nor eventfd.
func outOfMemory(dirs []string) bool {
	for _, dir := range dirs {
		for _, name := range []string{"memory.events", "memory.oom_control"} {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				continue
			}
			for line := range strings.Lines(string(data)) {
				key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
				if n, err := strconv.ParseUint(value, 10, 64); key == "oom_kill" && err == nil {
					// One hierarchy has the memory controller.
					return n > 0
				}
			}
		}
	}
	return false
}

// memoryWatch looks at the counters whenever they change. Where systemd has
// made the cgroup it removes it, and the counters, as soon as the last process
// is gone. (Of v1 it would need another interface.)
type memoryWatch struct {
	dir    string
	events *os.File
	ended  chan struct{}
	killed bool // once ended
	// missed: there was a change when the counters were gone already.
	missed bool
}

// watchMemory returns nil where there is nothing to watch.
func watchMemory(dirs []string) (*memoryWatch, error) {
	for _, dir := range dirs {
		path := filepath.Join(dir, "memory.events")
		if _, err := os.Stat(path); err != nil {
			continue
		}
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
		if err != nil {
			return nil, fmt.Errorf("watch the memory of the container: %w", err)
		}
		w := &memoryWatch{dir: dir, events: os.NewFile(uintptr(fd), "inotify"), ended: make(chan struct{})}
		if _, err := unix.InotifyAddWatch(fd, path, unix.IN_MODIFY); err != nil {
			w.events.Close()
			return nil, fmt.Errorf("watch %s: %w", path, err)
		}
		go w.look()
		return w, nil
	}
	return nil, nil
}

func (w *memoryWatch) look() {
	defer close(w.ended)
	buf := make([]byte, 4096)
	for {
		n, err := w.events.Read(buf)
		if err != nil {
			return
		}
		var seen uint32
		for at := 0; at+unix.SizeofInotifyEvent <= n; {
			seen |= binary.NativeEndian.Uint32(buf[at+4:])
			at += unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(buf[at+12:]))
		}
		w.killed = w.killed || outOfMemory([]string{w.dir})
		if _, err := os.Stat(w.dir); err != nil && seen&unix.IN_MODIFY != 0 {
			w.missed = true
		}
		if seen&unix.IN_IGNORED != 0 {
			return
		}
	}
}

// end reports whether there was a kill, given how the first process ended. Of a
// change that could not be looked into any more, its death tells.
func (w *memoryWatch) end(o Outcome) bool {
	if w == nil {
		return false
	}
	// What has happened is still in the queue.
	const patience = 50 * time.Millisecond
	if w.events.SetReadDeadline(time.Now().Add(patience)) != nil {
		w.events.Close()
	}
	<-w.ended
	w.events.Close()
	return w.killed || w.missed && o.Signal == int(unix.SIGKILL)
}
