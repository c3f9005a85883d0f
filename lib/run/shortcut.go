package run

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// runc's start and delete cost a process each, nearly all of whose time goes
// into starting runc itself, twice what the container costs. For a plain
// container of runc, what they do is done here; whenever anything is not just
// as expected, the runtime is called.

// execFifo is the name on which runc's first process waits, in the container's
// state directory. To open it for reading is what "runc start" does; it then
// gets one byte, and removes the name, by whose absence runc knows a running
// container from a created one.
const execFifo = "exec.fifo"

// fifoWait bounds the wait for the byte.
const fifoWait = 10 * time.Second

// plain reports whether the container is one that the shortcuts are for.
func (s *supervisor) plain() bool {
	r := s.rec.Runtime
	return r.kind() == kindRunc && r.State != "" && !s.plan.Hooks && !r.asksSystemd()
}

// startPlain starts the program as "runc start" does. It reports false, and
// has changed nothing, when that is left to runc.
func (s *supervisor) startPlain() bool {
	if !s.plain() {
		return false
	}
	path := filepath.Join(s.rec.Runtime.State, s.rec.ID, execFifo)
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return false
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

// deletePlain forgets an ended container as "runc delete" does: its cgroups,
// and its state. It reports false when that is left to runc.
func (s *supervisor) deletePlain() bool {
	if !s.plain() || s.rec.SharedPIDs || len(s.rec.Cgroups) == 0 {
		return false
	}
	dir := filepath.Join(s.rec.Runtime.State, s.rec.ID)
	if _, err := os.Lstat(filepath.Join(dir, "state.json")); err != nil {
		return false
	}
	for _, cgroup := range s.rec.Cgroups {
		if err := unix.Rmdir(cgroup); err != nil && !errors.Is(err, unix.ENOENT) {
			return false
		}
	}
	return os.RemoveAll(dir) == nil
}
