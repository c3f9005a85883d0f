package run

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// children keeps the zombies in order. The monitor is a subreaper: besides the
// processes it started and the container's first one, every orphan below it
// becomes its child, and nobody else reaps those.
//
// The nil *children only starts processes.
type children struct {
	mu sync.Mutex
	// own are waited for by somebody.
	own map[int]bool
}

func newChildren() (*children, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become a subreaper: %w", err)
	}
	return &children{own: make(map[int]bool)}, nil
}

// start starts cmd, so that reap cannot take its end for an orphan's.
func (c *children) start(cmd *exec.Cmd) error {
	if c == nil {
		return cmd.Start()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	c.own[cmd.Process.Pid] = true
	return nil
}

func (c *children) forget(cmd *exec.Cmd) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.own, cmd.Process.Pid)
}

// adopt says that somebody waits for pid.
func (c *children) adopt(pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.own[pid] = true
}

// reapAt reaps whenever a SIGCHLD is told, until there will be no more. The
// runtime's delete, too, waits for processes that are orphans of this one.
func (c *children) reapAt(told <-chan os.Signal) {
	for range told {
		c.reap()
	}
}

// reap waits for orphans that have ended. It looks first (WNOWAIT), and stops
// at a process that somebody else waits for; the next SIGCHLD goes on.
func (c *children) reap() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		pid := peekZombie()
		if pid <= 0 || c.own[pid] {
			return
		}
		if _, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); err != nil {
			return
		}
	}
}

// siginfo has the size of siginfo_t, and names the pid of a SIGCHLD.
type siginfo struct {
	_   [3]int32
	_   [unsafe.Sizeof(uintptr(0))/4 - 1]int32
	pid int32
	_   [128 - 4*4 - 4*(unsafe.Sizeof(uintptr(0))/4-1)]byte
}

// peekZombie returns the pid of a child that has ended, 0 when there is none.
func peekZombie() int {
	var info siginfo
	_, _, errno := unix.Syscall6(unix.SYS_WAITID, unix.P_ALL, 0, uintptr(unsafe.Pointer(&info)),
		unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(info.pid)
}

// wait waits for the child pid. Without a child of that pid (the runtime has
// put its process elsewhere) it waits for the end and reports it as unknown.
func (c *children) wait(p process) Outcome {
	for {
		var ws unix.WaitStatus
		_, err := unix.Wait4(p.Pid, &ws, 0, nil)
		switch err {
		case nil:
			return outcomeOf(ws)
		case unix.EINTR:
		default:
			p.waitGone(-1)
			return unknownOutcome()
		}
	}
}
