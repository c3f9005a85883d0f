package startup

import (
	"runtime"
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
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_TIMERSLACK, patience, 0); errno == 0 {
		// Zero is what the thread had when it was made.
		defer func() { _, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_TIMERSLACK, 0, 0) }()
	}
	return start()
}
