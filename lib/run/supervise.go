package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/capability"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/startup/slack"
)

// Supervise runs the container of the plan: it creates and starts it, passes
// signals on, waits for its end, and cleans up. The calling process becomes a
// child subreaper.
//
// An error means that the program was not started; it carries the exit status
// (125, 126, 127, or 128+n when a signal came first). What goes wrong later is
// a warning, for the outcome is the program's.
func Supervise(plan Plan, open Opener, events Events) (Outcome, error) {
	s := &supervisor{plan: plan, open: open, done: func() {}, events: events, signals: catchSignals()}
	defer s.signals.release()
	var err error
	if s.store, err = OpenStore(plan.RunRoot); err != nil {
		return Outcome{}, err
	}
	if s.children, err = newChildren(); err != nil {
		return Outcome{}, err
	}
	if s.claim, err = s.take(); err != nil {
		return Outcome{}, err
	}
	s.rec = &s.claim.rec
	go s.children.reapAt(s.signals.child)
	if err := s.launch(); err != nil {
		return Outcome{}, errors.Join(err, s.abandon())
	}
	return s.attend(), nil
}

// supervisor is one container in the care of this process.
type supervisor struct {
	plan        Plan
	open        Opener
	streams     Streams
	done        func()
	events      Events
	store       *Store
	claim       *claim
	rec         *Record
	children    *children
	signals     *signals
	console     *console
	notify      *notifyProxy
	memory      *memoryWatch
	hierarchies []cgroupMount
	created     bool
	exited      chan Outcome
}

// replaceTries is how often an ID is tried for that others want as well.
const replaceTries = 16

// take claims the ID. It is called before orphans are reaped, which would take
// the runtime's end from who removes a container.
func (s *supervisor) take() (*claim, error) {
	rec := s.plan.Record
	s.hierarchies = cgroupMounts()
	rec.Cgroups = likelyCgroups(rec.ID, s.hierarchies) // until the runtime has made them
	for try := 1; ; try++ {
		c, err := s.store.claim(rec, s.plan.Config)
		if !errors.Is(err, ErrTaken) {
			return c, err
		}
		if !s.plan.Replace || try == replaceTries {
			return nil, s.store.explainTaken(err, rec.ID)
		}
		if err := s.store.Vacate(s.ctx(), rec.Runtime, rec.ID, true); err != nil {
			return nil, err
		}
	}
}

// ctx is that of the runtime's calls: a signal must not cut one short, or the
// runtime leaves half a container.
func (s *supervisor) ctx() context.Context { return context.Background() }

func (s *supervisor) bundleDir() string {
	return s.store.BundleDir(&s.plan)
}

// launch takes the container from nothing to a running program.
func (s *supervisor) launch() error {
	streams, done, err := s.open()
	if err != nil {
		return err
	}
	s.streams, s.done = streams, done
	if s.plan.NotifySocket != "" {
		if s.notify, err = newNotifyProxy(s.claim.dir, s.plan.NotifySocket, s.rec.Detached); err != nil {
			return err
		}
	}
	if err := s.create(); err != nil {
		return err
	}
	for _, f := range s.streams.Handed {
		if err := f.Close(); err != nil {
			return fmt.Errorf("hand over the streams: %w", err)
		}
	}
	if err := s.adopt(); err != nil {
		return err
	}
	if err := s.receiveConsole(); err != nil {
		return err
	}
	// A program that has not been executed yet cannot handle a signal, and as
	// pid 1 would not even notice it; so the end comes before the start.
	if sig := s.signals.fatal(); sig != 0 {
		return fault.WithStatus(128+int(sig), fmt.Errorf("stopped by %s before the program was started", signalName(sig)))
	}
	<-s.signals.all
	if err := s.start(); err != nil {
		return err
	}
	s.rec.Started = true
	if err := s.claim.save(); err != nil {
		return err
	}
	if s.rec.Detached {
		s.rec.awaitProgram(time.Second)
	}
	if s.events.Started != nil {
		return s.events.Started(s.rec.Process.Pid)
	}
	return nil
}

// create has the runtime make the container, up to the point where its first
// process waits to become the program.
func (s *supervisor) create() error {
	if sig := s.signals.fatal(); sig != 0 {
		return fault.WithStatus(128+int(sig), fmt.Errorf("stopped by %s before the container was created", signalName(sig)))
	}
	words := []string{"create", "--bundle", s.bundleDir(), "--pid-file", filepath.Join(s.claim.dir, pidFile)}
	c := call{log: filepath.Join(s.claim.dir, runtimeLog), extra: s.streams.Extra, children: s.children, patient: s.patient(), brief: s.brief()}
	if s.rec.Terminal {
		console, err := listenConsole(s.claim.dir)
		if err != nil {
			return err
		}
		s.console = console
		words = append(words, "--console-socket", console.path)
	} else {
		c.stdin, c.stdout, c.stderr = s.streams.Stdin, s.streams.Stdout, s.streams.Stderr
	}
	if n := len(s.streams.Extra); n > 0 {
		words = append(words, "--preserve-fds", strconv.Itoa(n))
	}
	words = append(words, s.rec.ID)
	c.words = words
	before := s.logSize()
	go s.signals.catchOthers()
	warm(s.hierarchies)
	err := s.rec.Runtime.do(s.ctx(), c)
	var f *failure
	if errors.As(err, &f) {
		if f.saysTaken() {
			return s.rec.Runtime.taken(s.rec.ID, f)
		}
		s.created = true // perhaps in part; abandon deletes it
		if f.text == "" {
			f.text = s.said(before)
		}
		return f.explain()
	}
	if err != nil {
		return err
	}
	s.created = true
	return nil
}

// patient reports whether runc is to make the container with late timers,
// which saves a tenth of its work. The container's first process, which waits to
// become the program, inherits them, so this process must be able to give it
// the usual ones back, and there must be no hooks, whose processes would keep
// them.
func (s *supervisor) patient() bool { return s.rec.plain() && capability.Has(unix.CAP_SYS_NICE) }

// brief reports whether the environment of the runtime is for it alone: a hook
// may inherit it, and what a runtime of another name starts may live on.
func (s *supervisor) brief() bool {
	return s.rec.plain() && strings.Contains(s.rec.Runtime.Name(), kindRunc)
}

// logSize is the size of a log that the container is going to write itself; 0
// without one.
func (s *supervisor) logSize() int64 {
	if s.rec.Log == "" || s.plan.Log.Format != LogRaw {
		return 0
	}
	info, err := os.Stat(s.rec.Log)
	if err != nil {
		return 0
	}
	return info.Size()
}

// said is what a runtime that does not know --log has printed: the stderr of
// "create" is that of the container, and so the log.
func (s *supervisor) said(from int64) string {
	if s.logSize() <= from {
		return ""
	}
	f, err := os.Open(s.rec.Log)
	if err != nil {
		return ""
	}
	defer f.Close()
	return printed(f, from)
}

// adopt finds the first process of the container, which is this process's
// child now that "create" has ended, and waits for it.
func (s *supervisor) adopt() error {
	data, err := os.ReadFile(filepath.Join(s.claim.dir, pidFile))
	if err != nil {
		return fmt.Errorf("learn the pid of the container: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid < 1 {
		return fmt.Errorf("learn the pid of the container: %q is none", data)
	}
	s.children.adopt(pid)
	if s.rec.Process, err = lookProcess(pid); err != nil {
		return fmt.Errorf("the container died before it was started: %w", err)
	}
	if s.patient() {
		if err := slack.Restore(pid); err != nil {
			return err
		}
	}
	s.rec.Cgroups = ownCgroups(cgroupsOf(strconv.Itoa(pid), s.hierarchies), s.hierarchies)
	if s.rec.Runtime.asksSystemd() {
		if s.memory, err = watchMemory(s.rec.Cgroups); err != nil {
			s.events.warn("%v: a kill for lack of it may go unseen", err)
		}
	}
	s.rec.Initial, _ = os.Readlink(procPath(pid, "exe"))
	s.exited = make(chan Outcome, 1)
	go func() { s.exited <- s.children.wait(s.rec.Process) }()
	if s.rec.PidFile != "" {
		if err := writePidFile(s.rec.PidFile, pid); err != nil {
			return err
		}
	}
	return s.claim.save()
}

func procPath(pid int, name string) string { return "/proc/" + strconv.Itoa(pid) + "/" + name }

func (s *supervisor) receiveConsole() error {
	if s.console == nil {
		return nil
	}
	return s.console.receive(s.streams)
}

func (s *supervisor) start() error {
	if s.startPlain() {
		return nil
	}
	err := s.rec.Runtime.do(s.ctx(), call{words: []string{"start", s.rec.ID}, log: filepath.Join(s.claim.dir, runtimeLog), children: s.children})
	var f *failure
	if errors.As(err, &f) {
		return f.explain()
	}
	return err
}

// abandon removes what a launch that failed has made.
func (s *supervisor) abandon() error {
	var errs []error
	if s.console != nil {
		s.console.close()
	}
	if s.created {
		errs = append(errs, s.rec.Runtime.destroy(s.ctx(), s.rec, s.children))
	}
	if s.exited != nil {
		<-s.exited
	}
	if s.notify != nil {
		s.notify.close()
	}
	s.done()
	s.rec.removePidFile()
	if s.rec.Remove && s.events.Undo != nil {
		errs = append(errs, s.events.Undo(s.rec.Bundle))
	}
	return errors.Join(append(errs, s.claim.vanish())...)
}

// attend waits for the end of the program, with an ear for signals.
func (s *supervisor) attend() Outcome {
	var deadline, kill <-chan time.Time
	hungUp := s.hungUp()
	if s.plan.Timeout > 0 {
		deadline = time.After(s.plan.Timeout)
	}
	f := forwarder{supervisor: s}
	for {
		select {
		case o := <-s.exited:
			return s.conclude(o)
		case sig := <-s.signals.asked:
			f.pass(sig)
		case sig := <-s.signals.resized:
			f.pass(sig)
		case sig := <-s.signals.caught:
			f.pass(sig)
		case <-f.retry():
			f.again()
		case <-hungUp:
			hungUp = nil
			// The terminal is gone: the container's own got a SIGHUP when its
			// master was closed. What does not heed that is not left behind.
			s.console.close()
			kill = time.After(s.plan.Grace)
		case <-deadline:
			s.events.warn("container %s ran for %s; it is being stopped", s.rec.ID, s.plan.Timeout)
			s.rec.awaitProgram(execWait)
			f.insist(unix.Signal(s.rec.StopSignal))
			kill = time.After(s.plan.Grace)
		case <-kill:
			f.insist(unix.SIGKILL)
		}
	}
}

// hungUp is ready when the user's terminal has gone away.
func (s *supervisor) hungUp() <-chan struct{} {
	if s.console == nil {
		return nil
	}
	return s.console.hungUp
}

// conclude cleans up after the program, and records the outcome last.
func (s *supervisor) conclude(o Outcome) Outcome {
	if s.console != nil {
		s.console.drain()
	}
	if s.notify != nil {
		s.notify.close()
	}
	s.done()
	o.OOM = outOfMemory(s.rec.Cgroups) || s.memory.end(o)
	if !s.plan.keeps() && !s.rec.deletePlain() {
		if err := s.rec.Runtime.destroy(s.ctx(), s.rec, s.children); err != nil {
			s.events.warn("clean up after container %s: %v", s.rec.ID, err)
		}
	}
	s.rec.removePidFile()
	if s.rec.Remove && s.events.Undo != nil {
		if err := s.events.Undo(s.rec.Bundle); err != nil {
			s.events.warn("undo bundle %s: %v", s.rec.Bundle, err)
		}
	}
	if err := s.record(o); err != nil {
		s.events.warn("%v", err)
	}
	return o
}

// record leaves the outcome behind, for those who wait if for nobody else.
func (s *supervisor) record(o Outcome) error {
	if s.plan.keeps() {
		return s.claim.finish(o)
	}
	return errors.Join(s.claim.tell(o), s.claim.vanish())
}
