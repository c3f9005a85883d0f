package startup

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// patience is the timer slack of a patient process, in nanoseconds. Sleeps
// that Go's scheduler wants to be 20 µs long are up to this much longer.
const patience = 1_000_000

// Patient calls start, which makes a process of a Go program. In such a process
// a thread (sysmon) wakes up every 20 µs to look for system calls that block,
// and takes the processor away from them; where most calls are about as long as
// that, it costs a tenth of the work and more, in wake-ups and in switches. The
// kernel hands the timer slack of the thread that forks down to the process
// (PR_SET_TIMERSLACK(2const)), whose threads and children inherit it in turn.
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
	// The file is that of the first thread. Who may not read it has not been
	// able to change the slack of others.
	firstThread.Lock()
	data, err := os.ReadFile("/proc/self/timerslack_ns")
	firstThread.Unlock()
	if err != nil {
		return start()
	}
	usual, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || usual <= 0 {
		return start()
	}
	return withSlack(usual, start)
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
