package run

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// The start and delete of runc and crun cost a process each, nearly all of
// whose time goes into starting the runtime itself, twice what the container
// costs. For a plain container, what they do is done here; whenever anything is
// not just as expected, the runtime is called.

// execFifo is the name on which the container's first process waits, in its
// state directory. By its absence both runtimes know a running container from
// a created one. "runc start" opens it for reading, gets one byte, and removes
// it; with crun that process reads: "crun start" removes it and writes one.
const execFifo = "exec.fifo"

// fifoWait bounds the wait for the byte.
const fifoWait = 10 * time.Second

// plain reports whether the container is one that the shortcuts are for.
func (rec *Record) plain() bool {
	r := rec.Runtime
	return stateFile(r.kind()) != "" && r.State != "" && rec.Plain && !r.asksSystemd()
}

// stateFile is what the runtime writes into the state directory of each
// container; empty for those that the shortcuts are not for.
func stateFile(kind string) string {
	switch kind {
	case kindRunc:
		return "state.json"
	case kindCrun:
		return "status"
	}
	return ""
}

// startPlain starts the program as the runtime's "start" does. It reports
// false when that is left to the runtime, to do or to say why it cannot.
func (s *supervisor) startPlain() bool {
	if !s.rec.plain() {
		return false
	}
	path := filepath.Join(s.rec.Runtime.State, s.rec.ID, execFifo)
	crun := s.rec.Runtime.kind() == kindCrun
	access := unix.O_RDONLY
	if crun {
		access = unix.O_WRONLY // fails without a reader
	}
	fd, err := unix.Open(path, access|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return false
	}
	if crun {
		if os.Remove(path) != nil {
			return false
		}
		put, err := unix.Write(fd, []byte{0})
		return err == nil && put == 1
	}
	if !s.awaitByte(fd) {
		return false
	}
	got, err := unix.Read(fd, make([]byte, 1))
	return err == nil && got == 1 && os.Remove(path) == nil
}

// awaitByte waits for the writer of the fifo. Before that has opened its end
// there is no hang-up to see if it is killed, so it is looked for now and then.
func (s *supervisor) awaitByte(fd int) bool {
	const turn = 100 * time.Millisecond
	for waited := time.Duration(0); waited < fifoWait; waited += turn {
		n, err := poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(turn.Milliseconds()))
		if err != nil || n > 0 {
			return n > 0
		}
		if !s.rec.Process.alive() {
			return false
		}
	}
	return false
}

// owned reports whether what the runtime knows by the ID is this container.
// Somebody may have deleted this one with the runtime alone, and made another.
func (rec *Record) owned() bool {
	data, err := os.ReadFile(filepath.Join(rec.Runtime.State, rec.ID, stateFile(rec.Runtime.kind())))
	if err != nil {
		return false
	}
	var runc struct {
		Pid   int    `json:"init_process_pid"`
		Start uint64 `json:"init_process_start"`
	}
	var crun struct {
		Pid   int    `json:"pid"`
		Start uint64 `json:"process-start-time"`
	}
	if rec.Runtime.kind() == kindRunc {
		return json.Unmarshal(data, &runc) == nil && rec.Process == process(runc)
	}
	return json.Unmarshal(data, &crun) == nil && rec.Process == process(crun)
}

// deletePlain forgets an ended container as the runtime's "delete" does: its
// cgroups, and its state. It reports false when that is left to the runtime.
func (rec *Record) deletePlain() bool {
	if !rec.plain() || !rec.Started || rec.SharedPIDs || len(rec.Cgroups) == 0 || rec.Process.alive() {
		return false
	}
	dir := filepath.Join(rec.Runtime.State, rec.ID)
	if _, err := os.Lstat(filepath.Join(dir, stateFile(rec.Runtime.kind()))); err != nil {
		return false
	}
	for _, cgroup := range rec.Cgroups {
		if err := unix.Rmdir(cgroup); err != nil && !errors.Is(err, unix.ENOENT) {
			return false
		}
	}
	return os.RemoveAll(dir) == nil
}
