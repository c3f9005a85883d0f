// Package slack says how late the timers of a process may be: its timer slack
// (PR_SET_TIMERSLACK(2const)). The kernel hands that of the thread that forks
// down to the process, whose threads and children inherit it in turn.
package slack

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
)

// patience is the timer slack of a patient process, in nanoseconds. Sleeps
// that Go's scheduler wants to be 20 µs long are up to this much longer.
const patience = 1_000_000

// Patient calls start, which makes a process of a Go program. In such a process
// a thread (sysmon) wakes up every 20 µs to look for system calls that block,
// and takes the processor away from them; where most calls are about as long as
// that, it costs a tenth of the work and more, in wake-ups and in switches.
func Patient(start func() error) error {
	firstThread.Lock()
	defer firstThread.Unlock()
	return withSlack(patience, start)
}

// firstThread is held while the first thread of the process may have another
// slack than the process was started with.
var firstThread sync.Mutex //nolint:gochecknoglobals // there is one first thread

// Punctual calls start, which makes a process, or becomes one, whose timers are
// those that this program was started with. A program that imports
// lib/startup/calm starts with it whatever outlives it or is the user's.
func Punctual(start func() error) error {
	value, err := usual()
	if err != nil {
		return start() // who may not read it could not change that of others
	}
	nanoseconds, err := strconv.Atoi(string(bytes.TrimSpace(value)))
	if err != nil || nanoseconds <= 0 {
		return start()
	}
	return withSlack(nanoseconds, start)
}

// Restore gives all threads of another process the slack that this program was
// started with. It needs CAP_SYS_NICE.
func Restore(pid int) error {
	value, err := usual()
	if err != nil {
		return fmt.Errorf("read the timer slack: %w", err)
	}
	threads, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	if err != nil {
		return fmt.Errorf("list the threads of process %d: %w", pid, err)
	}
	for _, thread := range threads {
		// The file is in the thread's directory below /proc itself. A thread
		// may have ended meanwhile.
		err := os.WriteFile("/proc/"+thread.Name()+"/timerslack_ns", value, 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("set the timer slack of process %d: %w", pid, err)
		}
	}
	return nil
}

// usual is the slack of the first thread, as the kernel writes it.
func usual() ([]byte, error) {
	firstThread.Lock()
	defer firstThread.Unlock()
	return os.ReadFile("/proc/self/timerslack_ns")
}

// withSlack calls start in a thread with this slack.
func withSlack(nanoseconds int, start func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_GET_TIMERSLACK, 0, 0)
	if errno == 0 {
		_, _, errno = syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_TIMERSLACK, uintptr(nanoseconds), 0)
	}
	if errno == 0 {
		defer func() { _, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_TIMERSLACK, before, 0) }()
	}
	return start()
}
