package run

import (
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func itoa(n int) string { return strconv.Itoa(n) }

// ended are the signals that end a program by default, and that somebody
// outside sends to have it end.
var ended = []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM}

// notPassed are not for the program: those that this process gets for itself
// (SIGCHLD, SIGURG of the Go scheduler, SIGPIPE, the ones of job control that
// say "you are in the background"), and those of its own faults.
var notPassed = []unix.Signal{
	unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE, unix.SIGTTIN, unix.SIGTTOU,
	unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGTRAP, unix.SIGSYS, unix.SIGPROF, 32, 33,
}

// early are the signals, besides those that end a program, that Go's runtime
// would act on if they were not caught, as it would not on others (os/signal);
// and SIGWINCH, for a terminal is asked for its size only once.
var early = []unix.Signal{unix.SIGABRT, unix.SIGSTKFLT, unix.SIGTSTP, unix.SIGCONT, unix.SIGWINCH}

// signals catches what is sent to this process; until the program runs they
// wait here.
type signals struct {
	// asked are those that ask for the end. A channel that is full loses what
	// comes, so that a flood of others must not fill theirs.
	asked chan os.Signal
	// resized needs to be told once.
	resized chan os.Signal
	caught  chan os.Signal
	child   chan os.Signal
	pipe    chan os.Signal
	// all is closed when all are caught.
	all chan struct{}
}

// catchSignals catches those that would end or stop this process, and those of
// its terminal.
func catchSignals() *signals {
	s := &signals{
		asked: make(chan os.Signal, 64), resized: make(chan os.Signal, 1), caught: make(chan os.Signal, 128),
		child: make(chan os.Signal, 1), pipe: make(chan os.Signal, 1), all: make(chan struct{}),
	}
	s.catch(true)
	signal.Notify(s.child, unix.SIGCHLD)
	// An ignored SIGPIPE would be inherited by the program; a caught one is
	// not.
	signal.Notify(s.pipe, unix.SIGPIPE)
	return s
}

// catchOthers catches the rest, and closes s.all. Each costs Go's runtime two
// switches between threads, all of them two milliseconds, for which there is
// time while the runtime is at work.
func (s *signals) catchOthers() {
	s.catch(false)
	close(s.all)
}

// catch catches those that have to be caught at once, or the others.
func (s *signals) catch(atOnce bool) {
	for n := unix.Signal(1); n <= sigRTMax; n++ {
		switch {
		case (slices.Contains(ended, n) || slices.Contains(early, n)) != atOnce:
		// What was ignored when this process began (nohup) stays ignored.
		case slices.Contains(notPassed, n) || signal.Ignored(n):
		case slices.Contains(ended, n):
			signal.Notify(s.asked, n)
		case n == unix.SIGWINCH:
			signal.Notify(s.resized, n)
		default:
			signal.Notify(s.caught, n)
		}
	}
}

// release lets those that ask for the end have it. The others have no effect
// any more, whether they are caught or not.
func (s *signals) release() {
	signal.Stop(s.asked)
	signal.Stop(s.child)
	close(s.child)
	signal.Ignore(unix.SIGPIPE)
}

// fatal takes from the queue a signal that asks for the end; 0 when there is
// none.
func (s *signals) fatal() unix.Signal {
	select {
	case caught := <-s.asked:
		sig, _ := caught.(unix.Signal)
		return sig
	default:
		return 0
	}
}

// forwarder passes signals on to the program.
type forwarder struct {
	*supervisor
	// waiting came when the program had not been executed yet.
	waiting []unix.Signal
	since   time.Time
	// told has the bit of each signal that asks for the end and was told to have
	// been dropped.
	told uint64
}

func (f *forwarder) pass(caught os.Signal) {
	sig, ok := caught.(unix.Signal)
	if sig == unix.SIGCONT {
		f.resume()
	}
	switch {
	case !ok:
	case sig == unix.SIGWINCH && f.console != nil:
		f.console.resize()
	case sig == unix.SIGTSTP:
		f.suspend()
	case len(f.waiting) > 0 || !f.rec.executed():
		if len(f.waiting) == 0 {
			f.since = time.Now()
		}
		f.waiting = append(f.waiting, sig)
	default:
		f.send(sig)
	}
}

// retry is ready after a moment when signals wait.
func (f *forwarder) retry() <-chan time.Time {
	if len(f.waiting) == 0 {
		return nil
	}
	return time.After(2 * time.Millisecond)
}

func (f *forwarder) again() {
	if !f.rec.executed() && time.Since(f.since) < execWait {
		return
	}
	waiting := f.waiting
	f.waiting = nil
	for _, sig := range waiting {
		f.send(sig)
	}
}

// send sends the signal. One that asks for the end and that the kernel drops,
// as the program is pid 1 and has no handler, is told of; the second kills.
func (f *forwarder) send(sig unix.Signal) {
	if slices.Contains(ended, sig) && f.dropped(sig) {
		if f.told&bit(sig) != 0 {
			f.insist(unix.SIGKILL)
			return
		}
		f.told |= bit(sig)
		f.events.warn("the program is pid 1 and does not handle %s, so the kernel drops it; send it again to kill the container, or run it with --init", signalName(sig))
	}
	f.warnOf(sig, f.rec.Runtime.signal(f.ctx(), f.rec, sig, f.children))
}

// bit is that of a signal in a mask.
func bit(sig unix.Signal) uint64 { return 1 << (uint(sig) - 1) }

// insist sends a signal of this process's own, whatever state the program is in.
func (f *forwarder) insist(sig unix.Signal) {
	f.warnOf(sig, f.rec.Runtime.insist(f.ctx(), f.rec, sig, f.children))
}

func (f *forwarder) warnOf(sig unix.Signal, err error) {
	if err != nil {
		f.events.warn("pass on %s: %v", signalName(sig), err)
	}
}

// dropped reports whether the kernel would drop the signal: the process is the
// first of its pid namespace and has not caught it (pid_namespaces(7)). One that
// is blocked waits for sigwait(3) or a signalfd(2); it is the mask of the first
// thread that counts.
func (f *forwarder) dropped(sig unix.Signal) bool {
	if f.rec.SharedPIDs || f.rec.Runtime.kind() == kindRunsc {
		return false
	}
	status, err := os.ReadFile(procPath(f.rec.Process.Pid, "status"))
	if err != nil {
		return false
	}
	caught, ok := signalMask(string(status), "SigCgt:")
	blocked, also := signalMask(string(status), "SigBlk:")
	return ok && also && (caught|blocked)&bit(sig) == 0
}

// signalMask finds a mask in /proc/PID/status.
func signalMask(status, name string) (uint64, bool) {
	for line := range strings.Lines(status) {
		if mask, ok := strings.CutPrefix(line, name); ok {
			bits, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			return bits, err == nil
		}
	}
	return 0, false
}

// suspend answers Ctrl-Z: the program is told, and this process stops, so that
// the shell gets its prompt; the terminal is the shell's meanwhile. The stop
// takes effect on all threads in its own time; what follows is for SIGCONT.
func (f *forwarder) suspend() {
	f.send(unix.SIGTSTP)
	if f.console != nil {
		f.console.restore()
	}
	_ = unix.Kill(os.Getpid(), unix.SIGSTOP)
}

// resume takes the terminal back, whoever has stopped this process.
func (f *forwarder) resume() {
	if f.console != nil {
		f.console.raw()
		f.console.resize()
	}
}
