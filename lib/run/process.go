package run

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// process names a process for good: a pid is used again, a pid together with
// its start time is not.
type process struct {
	Pid int `json:"pid"`
	// Start is field 22 of /proc/PID/stat: clock ticks since boot.
	Start uint64 `json:"start"`
}

// lookProcess finds the start time of pid.
func lookProcess(pid int) (process, error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return process{}, fmt.Errorf("find process %d: %w", pid, err)
	}
	// The name in field 2 may hold blanks and parentheses; count from its end.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return process{}, fmt.Errorf("find process %d: malformed stat", pid)
	}
	start, err := strconv.ParseUint(string(fields[19]), 10, 64)
	if err != nil {
		return process{}, fmt.Errorf("find process %d: start time: %w", pid, err)
	}
	p := process{Pid: pid, Start: start}
	if fields[0][0] == 'Z' || fields[0][0] == 'X' {
		return p, fmt.Errorf("find process %d: %w", pid, unix.ESRCH)
	}
	return p, nil
}

// alive reports whether just this process lives. A zombie does not.
func (p process) alive() bool {
	if p.Pid <= 0 {
		return false
	}
	now, err := lookProcess(p.Pid)
	return err == nil && now.Start == p.Start
}

// open returns a pidfd, which the kernel binds to this process and no later one.
func (p process) open() (int, error) {
	fd, err := unix.PidfdOpen(p.Pid, 0)
	if err != nil {
		return -1, fmt.Errorf("open process %d: %w", p.Pid, err)
	}
	if !p.alive() {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("open process %d: %w", p.Pid, unix.ESRCH)
	}
	return fd, nil
}

// signal sends sig to this process, and to no other that has got its pid.
func (p process) signal(sig unix.Signal) error {
	fd, err := p.open()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil {
		return fmt.Errorf("send %s to process %d: %w", signalName(sig), p.Pid, err)
	}
	return nil
}

// waitGone waits until the process has ended, without being its parent.
// A negative limit waits for ever. It reports whether it has ended.
func (p process) waitGone(limit time.Duration) bool {
	fd, err := p.open()
	if err != nil {
		return true
	}
	defer unix.Close(fd)
	deadline := time.Now().Add(limit)
	for {
		ms := -1
		if limit >= 0 {
			ms = max(0, int(time.Until(deadline).Milliseconds()))
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, ms)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return !p.alive()
		default:
			return n > 0
		}
	}
}
