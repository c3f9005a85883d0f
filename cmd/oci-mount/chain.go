package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/overlay"
	"github.com/oci-plumbing/oci-plumbing/lib/pipe"
	"github.com/oci-plumbing/oci-plumbing/lib/startup/slack"
)

// The exit statuses when no program ran: those of env, nice and timeout.
const (
	ownFailure    = 125
	notExecutable = 126
	programAbsent = 127
)

// chain is the form with a program: the mount lives in a namespace of its own
// and ends with the last process in it, whatever happens to the others.
func chain(ctx context.Context, inv *cli.Invocation) error {
	if len(inv.Trailing) == 0 {
		return fault.WithStatus(ownFailure, inv.Usage("no program after --"))
	}
	if len(inv.Operands) > 2 {
		return fault.WithStatus(ownFailure, inv.Usage("unexpected operand %q", inv.Operands[2]))
	}
	for _, verb := range append([]string{"all", "lazy"}, verbs...) {
		if verb != "rm" && inv.Bool(verb) {
			return fault.WithStatus(ownFailure, inv.Usage("--%s runs no program", verb))
		}
	}
	base, err := newPlan(inv)
	if err != nil {
		return fault.WithStatus(ownFailure, err)
	}
	if len(base.IDMap) > 0 && !privileged() {
		return fault.WithStatus(ownFailure, mapsForRoot(errors.New("map ids: not allowed to an ordinary user")))
	}
	ran := false
	err = inv.EachInput(inv.Operand(0), func(rec pipe.Record) error {
		if ran {
			return errors.New("a second record: one program can use one mount only")
		}
		ran = true
		p := base
		if err := p.setImage(rec); err != nil {
			return err
		}
		if p.Private {
			p.Bundle = filepath.Join(p.Root, mountsDir, chainPrefix+filepath.Base(p.Bundle))
		}
		p.Program, p.Remove = inv.Trailing, p.Private || inv.Bool("rm")
		if inv.DryRun() {
			return dryRun(ctx, inv, p)
		}
		return runChain(ctx, inv, p)
	})
	if hasStatus(err) {
		return err
	}
	return fault.WithStatus(ownFailure, err)
}

func hasStatus(err error) bool {
	var status *fault.Status
	return errors.As(err, &status)
}

// runChain starts this program again in the new namespaces, where it mounts
// and becomes PROG; waits; and clears away what it left.
func runChain(ctx context.Context, inv *cli.Invocation, p plan) error {
	program, err := lookProgram(p.Program[0])
	if err != nil {
		return err
	}
	p.Program[0] = program
	guard := &guard{bundle: &bundle.Bundle{Dir: p.Bundle}}
	defer guard.release()
	err = runInside(ctx, inside{Verb: verbChain, Plan: p, heard: guard.hear}, commonFlags(inv)...)
	if !privileged() {
		if endErr := overlay.EndIdleFuse(guard.bundle.Rootfs()); endErr != nil {
			inv.Log.Warn("%v", endErr)
		}
	}
	if endErr := guard.finish(ctx, p); endErr != nil {
		inv.Log.Warn("%v", endErr)
	}
	return err
}

// guard holds the lock of the bundle while the program runs, so that nobody
// takes the mount that only the program sees for none; and knows from the
// process inside how far it got.
type guard struct {
	bundle *bundle.Bundle
	lock   *os.File
	// mounted: the bundle is ours to finish.
	mounted bool
	// failed: the program was not run, in a bundle that is there for it alone
	// when vain is set.
	failed, vain bool
}

// The words of the process inside.
const (
	saysMounted = 'm'
	saysFailed  = 'f'
	saysVain    = 'v'
)

func (g *guard) hear(word byte) {
	switch word {
	case saysMounted:
		g.mounted = true
		_ = g.hold() // finish tries again
	case saysFailed:
		g.failed = true
	case saysVain:
		g.failed, g.vain = true, true
	}
}

func (g *guard) hold() (err error) {
	if g.lock == nil {
		g.lock, err = lockBundle(g.bundle)
	}
	return err
}

func (g *guard) release() {
	if g.lock != nil {
		g.lock.Close()
	}
}

// finish deletes the bundle, or makes that of a volatile mount a clean one,
// unless something that PROG started still uses the mount. A named bundle that
// was not mounted may hold anything: it is not touched.
func (g *guard) finish(ctx context.Context, p plan) error {
	remove := p.Private || g.vain || p.Remove && g.mounted && !g.failed
	if !isDir(g.bundle.Dir) || !remove && !(g.mounted && p.Volatile) {
		return nil
	}
	state, err := g.bundle.State()
	if err != nil || len(state.Mounts) == 0 {
		return err
	}
	if err := g.hold(); err != nil {
		return err
	}
	mounts, err := mountsOf(g.bundle)
	switch {
	case err != nil:
		return err
	case len(mounts) > 0:
		return fmt.Errorf("bundle %s stays as it is: processes of the program still use it; %s", g.bundle.Dir, later(p, remove))
	case remove:
		return removeBundle(ctx, g.bundle, p.Root)
	}
	return settleBundle(ctx, g.bundle, p.Root)
}

// later says what to type when the last process has ended.
func later(p plan, remove bool) string {
	switch {
	case p.Private:
		return name + " --gc removes it later"
	case remove:
		return fmt.Sprintf("%s --rm %s removes it later", name, p.Bundle)
	}
	return "its next mount needs --force"
}

// settleBundle settles the bundle of a volatile mount that has ended with its
// namespace. An ordinary user may not enter the kernel's work directory but in
// a namespace.
func settleBundle(ctx context.Context, b *bundle.Bundle, root string) error {
	if privileged() {
		return settle(b)
	}
	return runInside(ctx, inside{Verb: verbSettle, Plan: plan{Root: root, Bundle: b.Dir}})
}

// lookProgram finds PROG before anything is done: seen from where the user
// stands, not from the bundle.
func lookProgram(word string) (string, error) {
	path, err := exec.LookPath(word)
	switch {
	case err == nil:
		abs, err := filepath.Abs(path)
		return abs, fault.WithStatus(ownFailure, err)
	case errors.Is(err, exec.ErrDot):
		return "", fault.WithStatus(programAbsent, fmt.Errorf("%s: found in the current directory only; write ./%s", word, word))
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		return "", fault.WithStatus(programAbsent, fmt.Errorf("%s: program not found", word))
	default:
		return "", fault.WithStatus(notExecutable, fmt.Errorf("%s: %w", word, err))
	}
}

// commonFlags are those that the program in the namespaces obeys, too.
func commonFlags(inv *cli.Invocation) []string {
	var words []string
	for _, flag := range []string{"quiet", "explain", "step"} {
		if inv.Bool(flag) {
			words = append(words, "--"+flag)
		}
	}
	for range inv.Count("verbose") {
		words = append(words, "--verbose")
	}
	return append(words, "--log-format="+inv.String("log-format"), "--color="+inv.String("color"))
}

// runInside runs this program again in a mount namespace, and in a user
// namespace when the caller is not root, and ends with its status.
func runInside(ctx context.Context, task inside, words ...string) error {
	// The kernel sends the death signal when the thread dies that made the
	// child: so it must live as long as the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	reader, writer, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	defer reader.Close()
	defer writer.Close()
	child := self(context.WithoutCancel(ctx), append([]string{taskWord}, words...)...)
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	report, mounted, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	defer report.Close()
	defer mounted.Close()
	child.ExtraFiles = []*os.File{reader, mounted}
	tools, many := idTools{}, false
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGTERM}
	if !privileged() {
		child.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		if tools, many = findIDTools(); !many {
			child.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
			child.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
		}
	}
	task.Parent = os.Getpid()
	pass := newSignals()
	defer pass.stop()
	if err := slack.Punctual(child.Start); err != nil {
		return explainNamespaces(fmt.Errorf("start in new namespaces: %w", err))
	}
	go pass.to(child.Process)
	mounted.Close()
	reported := make(chan struct{})
	go func() {
		defer close(reported)
		word := make([]byte, 1)
		for {
			if n, _ := report.Read(word); n == 0 || task.heard == nil {
				return
			}
			task.heard(word[0])
		}
	}()
	if many {
		err = tools.write(ctx, child.Process.Pid)
	}
	if err == nil {
		err = json.NewEncoder(writer).Encode(task)
	}
	writer.Close() // without a task the child ends
	waitErr := child.Wait()
	<-reported
	if err != nil {
		return err
	}
	return exitOf(child, waitErr)
}

// exitOf turns the end of the child into that of this process.
func exitOf(child *exec.Cmd, err error) error {
	if child.ProcessState == nil {
		return fmt.Errorf("wait for the program: %w", err)
	}
	status, ok := child.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case ok && status.Signaled():
		return fault.Exit(128 + int(status.Signal()))
	case ok:
		return fault.Exit(status.ExitStatus())
	}
	return fault.Exit(child.ProcessState.ExitCode())
}

// signals passes signals on to the program, whose end they are to be.
type signals struct {
	caught chan os.Signal
	done   chan struct{}
}

func newSignals() *signals {
	s := &signals{caught: make(chan os.Signal, 8), done: make(chan struct{})}
	// The shell's INT and TERM must not end this process before PROG.
	signal.Reset(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	signal.Notify(s.caught, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	return s
}

func (s *signals) stop() {
	signal.Stop(s.caught)
	close(s.done)
}

func (s *signals) to(p *os.Process) {
	for {
		select {
		case <-s.done:
			return
		case sig := <-s.caught:
			if (sig == syscall.SIGINT || sig == syscall.SIGQUIT) && foreground() {
				continue // the terminal has sent it to the program as well
			}
			_ = p.Signal(sig) // it may have ended this moment
		}
	}
}

// foreground reports whether the terminal sends its signals to this process.
func foreground() bool {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// hiddenMounts keeps what is mounted in this namespace from showing in the
// one outside; what is mounted there still arrives here.
func hiddenMounts() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("separate the mounts from the host's: %w", err)
	}
	return nil
}
