package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// session is a program on a pseudo-terminal, of which the test holds the
// person's side.
type session struct {
	t      *testing.T
	cmd    *exec.Cmd
	master *os.File
	slave  string
	mu     sync.Mutex
	seen   bytes.Buffer
	done   chan error
	// closing asks the reader of master to end, deaf tells that it has.
	closing atomic.Bool
	deaf    chan struct{}
}

// hangUp closes the terminal.
func (s *session) hangUp() {
	s.closing.Store(true)
	<-s.deaf
	_ = s.master.Close()
}

// binary makes the test binary known as oci-run.
func binary(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.Link(exe, path); err != nil {
		data, err := os.ReadFile(exe)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func openPTY(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals: %v", err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// startSession starts a shell script on a terminal of 40 rows and 100 columns.
func startSession(t *testing.T, script string) *session {
	t.Helper()
	master, slave := openPTY(t)
	resizePTY(t, master, 40, 100)
	s := &session{t: t, master: master, slave: slave.Name(), done: make(chan error, 1), deaf: make(chan struct{})}
	s.cmd = exec.Command("/bin/sh", "-c", script)
	s.cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(binary(t))+":"+os.Getenv("PATH"), "TERM=dumb")
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = slave, slave, slave
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := slave.Close(); err != nil {
		t.Fatal(err)
	}
	go s.record()
	go func() { s.done <- s.cmd.Wait() }()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		s.hangUp()
	})
	return s
}

func resizePTY(t *testing.T, master *os.File, rows, columns uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		t.Fatal(err)
	}
}

func (s *session) record() {
	defer close(s.deaf)
	buf := make([]byte, 4096)
	for {
		// A read that waits would keep the terminal open beyond its close.
		fds := []unix.PollFd{{Fd: int32(s.master.Fd()), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, 20); n == 0 || errors.Is(err, unix.EINTR) {
			if s.closing.Load() {
				return
			}
			continue
		}
		n, err := s.master.Read(buf)
		s.mu.Lock()
		s.seen.Write(buf[:n])
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (s *session) screen() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen.String()
}

// expect waits until the text is on the screen.
func (s *session) expect(text string) {
	s.t.Helper()
	s.until(fmt.Sprintf("%q on the screen", text), func() bool { return strings.Contains(s.screen(), text) })
}

func (s *session) until(what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("no %s; the screen: %q", what, s.screen())
		}
	}
}

func (s *session) send(keys string) {
	s.t.Helper()
	if _, err := s.master.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

// end waits for the end of the script, and returns its status.
func (s *session) end() int {
	s.t.Helper()
	select {
	case err := <-s.done:
		var exit *exec.ExitError
		switch {
		case err == nil:
			return 0
		case errors.As(err, &exit):
			return exit.ExitCode()
		}
		s.t.Fatal(err)
	case <-time.After(30 * time.Second):
		s.t.Fatalf("no end; the screen: %q", s.screen())
	}
	return -1
}

// pid is what a script has said by "WORD N.".
func (s *session) pid(word string) int {
	s.t.Helper()
	var pid int
	s.until("pid for "+word, func() bool {
		_, at, _ := strings.Cut(s.screen(), word+" ")
		_, err := fmt.Sscanf(at, "%d.", &pid)
		return err == nil
	})
	return pid
}

// mode is the mode of the person's terminal.
func (s *session) mode() unix.Termios {
	s.t.Helper()
	t, err := unix.IoctlGetTermios(int(s.master.Fd()), unix.TCGETS)
	if err != nil {
		s.t.Fatal(err)
	}
	return *t
}

// onTerminals runs a test on each runtime, with a bundle whose config asks for
// a terminal, and an ID.
func onTerminals(t *testing.T, test func(t *testing.T, env, id string)) {
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	for i, rt := range runtimes(t) {
		t.Run(rt.name, func(t *testing.T) {
			dir := testBundle(t)
			if err := editConfig(filepath.Join(dir, "config.json"), "process.terminal", "true"); err != nil {
				t.Fatal(err)
			}
			id := fmt.Sprintf("p%d-%d-%s", os.Getpid(), i, strings.ToLower(strings.ReplaceAll(filepath.Base(t.Name()), "#", "")))
			t.Cleanup(func() { sweep(t, id) })
			test(t, fmt.Sprintf("export OCI_RUNTIME=%s ID=%s; cd %s; ", rt.path, id, dir), id)
		})
	}
}

func TestTerminal(t *testing.T) {
	onTerminals(t, func(t *testing.T, env, _ string) {
		s := startSession(t, env+`oci-run $ID -- sh; echo status $?; exit 4`)
		before := s.mode()
		s.expect("/ # ")
		if s.mode().Lflag&unix.ICANON != 0 {
			t.Error("the terminal is not raw while the container runs")
		}
		s.send("tty; stty size\r")
		s.expect("40 100")
		resizePTY(t, s.master, 25, 77)
		s.until("new size", func() bool {
			s.send("stty size\r")
			time.Sleep(50 * time.Millisecond)
			return strings.Contains(s.screen(), "25 77")
		})
		// Ctrl-C is the program's, not this process's.
		s.send("sleep 1000\r")
		time.Sleep(300 * time.Millisecond)
		s.send("\x03")
		s.send("echo after-$((1+1))\r")
		s.expect("after-2")
		s.send("exit 9\r")
		s.expect("status 9")
		if got := s.end(); got != 4 {
			t.Errorf("the shell ended with %d, want 4", got)
		}
		if s.mode() != before {
			t.Errorf("mode of the terminal %+v, before %+v", s.mode(), before)
		}
		if strings.Contains(s.screen(), "\r\r\n") {
			t.Errorf("lines are ended twice: %q", s.screen())
		}
	})
}

// TestTerminalAfterPipe: standard input has brought the record, the person is
// at /dev/tty.
func TestTerminalAfterPipe(t *testing.T) {
	onTerminals(t, func(t *testing.T, env, _ string) {
		s := startSession(t, env+`echo $PWD | oci-run -- sh; echo status $?`)
		s.expect("/ # ")
		s.send("exit 6\r")
		s.expect("status 6")
		s.end()
	})
}

// TestChainBundle: below "oci-mount IMAGE -- PROG" the environment names the
// bundle, and standard input stays the person's.
func TestChainBundle(t *testing.T) {
	onTerminals(t, func(t *testing.T, env, _ string) {
		s := startSession(t, env+`export OCI_BUNDLE=$PWD; cd /; oci-run; echo status $?`)
		s.expect("/ # ")
		s.send("exit 2\r")
		s.expect("status 2")
		s.end()
	})
}

// TestTerminalRestored: the mode comes back when signals end the run, too.
func TestTerminalRestored(t *testing.T) {
	onTerminals(t, func(t *testing.T, env, _ string) {
		if strings.Contains(env, "runsc") {
			t.Skip("what a program in a sandbox handles cannot be seen, so that it is not killed")
		}
		s := startSession(t, env+`trap : TERM; sh -c 'echo "pid $$."; exec oci-run $ID -- sh -c "trap \"\" TERM; echo ready; while :; do sleep 1; done"'; echo status $?; read x; echo read $x`)
		before := s.mode()
		s.expect("ready")
		pid := s.pid("pid")
		s.until("end", func() bool {
			_ = unix.Kill(pid, unix.SIGTERM)
			time.Sleep(100 * time.Millisecond)
			return strings.Contains(s.screen(), "status ")
		})
		if s.mode() != before {
			t.Errorf("mode of the terminal %+v, before %+v", s.mode(), before)
		}
		s.send("typed\r")
		s.expect("read typed")
		s.end()
	})
}

// TestTerminalClosed: the person goes away, and the container does not stay.
func TestTerminalClosed(t *testing.T) {
	onTerminals(t, func(t *testing.T, env, id string) {
		s := startSession(t, env+`oci-run --time 500ms $ID -- sh -c 'trap "" HUP; echo ready; while :; do sleep 1; done'`)
		s.expect("ready")
		s.hangUp()
		dir := "/run/oci-plumbing/containers/" + id
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s is still there", dir)
			}
		}
	})
}

// TestJobControl: without a terminal of its own the program is stopped and
// continued with this process, which the shell's Ctrl-Z reaches.
func TestJobControl(t *testing.T) {
	onTerminals(t, func(t *testing.T, env, _ string) {
		s := startSession(t, env+`set -m; oci-run --no-tty $ID -- sh -c 'echo ready; sleep 2; echo program done'; echo stopped $?; fg; echo status $?`)
		s.expect("ready")
		s.send("\x1a")
		s.expect("stopped 1")
		s.expect("program done")
		s.expect("status 0")
		s.end()
	})
}

// TestSuspend: the terminal is the shell's while a run that has it is stopped,
// and raw again afterwards, every time.
func TestSuspend(t *testing.T) {
	onTerminals(t, func(t *testing.T, env, _ string) {
		s := startSession(t, env+`set -m; sh -c 'echo "pid $$."; exec oci-run $ID -- sh'; for i in 1 2 3 4 5 6; do stty sane; echo stopped-$i; fg; done; echo status $?`)
		s.expect("/ # ")
		pid := s.pid("pid")
		raw := func() bool { return s.mode().Lflag&unix.ICANON == 0 }
		for i := range 6 {
			if err := unix.Kill(pid, unix.SIGTSTP); err != nil {
				t.Fatal(err)
			}
			s.expect(fmt.Sprintf("stopped-%d", i+1))
			s.until("raw mode", raw)
			time.Sleep(50 * time.Millisecond)
			if !raw() {
				t.Error("the terminal is no longer raw")
			}
		}
		s.send("exit 3\r")
		s.expect("status 3")
		s.end()
	})
}

// TestInterrupt: Ctrl-C without a terminal for the program. The first is
// dropped by the kernel for a pid 1 without a handler, and said to be.
func TestInterrupt(t *testing.T) {
	onTerminals(t, func(t *testing.T, env, _ string) {
		s := startSession(t, env+`trap : INT; oci-run --no-tty $ID -- sh -c 'trap "echo caught; exit 5" INT; echo ready; while :; do sleep 0.1; done'; echo status $?`)
		s.expect("ready")
		s.send("\x03")
		s.expect("caught")
		s.expect("status 5")
		s.end()
		if strings.Contains(env, "runsc") {
			return
		}
		s = startSession(t, env+`trap : INT; oci-run --no-tty $ID -- sleep 1000; echo status $?`)
		s.until("program", func() bool {
			out, err := exec.Command(binary(t), "--list").CombinedOutput()
			return err == nil && strings.Contains(string(out), "running")
		})
		time.Sleep(500 * time.Millisecond)
		s.send("\x03")
		s.expect("does not handle SIGINT")
		s.send("\x03")
		s.expect("status 137")
		s.end()
	})
}

// TestAttach: a detached container with a terminal can be joined and left.
func TestAttach(t *testing.T) {
	onTerminals(t, func(t *testing.T, env, _ string) {
		s := startSession(t, env+`oci-run --detach $ID -- sh && oci-run --attach $ID; echo left $?; oci-run --attach $ID; echo status $?; oci-run --logs $ID; oci-run --delete $ID`)
		s.until("prompt", func() bool {
			s.send("echo in-$((40+2))\r")
			time.Sleep(100 * time.Millisecond)
			return strings.Contains(s.screen(), "in-42")
		})
		s.send("stty size\r")
		s.expect("40 100")
		s.send("\x10\x11")
		s.expect("left 0")
		s.send("echo again-$((50+2))\r")
		s.expect("again-52")
		s.send("exit 8\r")
		s.expect("status 8")
		s.end()
		if n := strings.Count(s.screen(), "again-52"); n < 2 {
			t.Errorf("again-52 is on the screen %d times, want it in the log, too: %q", n, s.screen())
		}
	})
}

// TestAttachSignals: who is attached gives the terminal back, whatever ends or
// stops it. What has ended shows its log, and its status.
func TestAttachSignals(t *testing.T) {
	// Below nohup(1) the programs would ignore it, as their parent does. What is
	// handled here is not ignored there.
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, unix.SIGHUP)
	t.Cleanup(func() { signal.Stop(hup) })
	onTerminals(t, func(t *testing.T, env, _ string) {
		s := startSession(t, env+`set -m; oci-run --detach $ID -- sh; for sig in 1 15; do sh -c 'echo "for-'$sig' $$."; exec oci-run --attach $ID'; echo ended $?; done
			sh -c 'echo "last $$."; exec oci-run --attach $ID'; stty sane; echo stopped; fg; echo status $?; oci-run --attach $ID; echo once more $?; oci-run --delete $ID`)
		before := s.mode()
		raw := func() bool { return s.mode().Lflag&unix.ICANON == 0 }
		for _, sig := range []unix.Signal{unix.SIGHUP, unix.SIGTERM} {
			s.until("raw mode", raw)
			_ = unix.Kill(s.pid(fmt.Sprintf("for-%d", int(sig))), sig)
			s.expect(fmt.Sprintf("ended %d", 128+int(sig)))
		}
		s.until("raw mode", raw)
		_ = unix.Kill(s.pid("last"), unix.SIGTSTP)
		s.expect("stopped")
		s.until("raw mode", raw)
		s.send("echo in-$((40+2)); exit 7\r")
		s.expect("status 7")
		s.expect("once more 7")
		s.end()
		if _, log, _ := strings.Cut(s.screen(), "status 7"); !strings.Contains(log, "in-42") {
			t.Errorf("the log is not shown: %q", s.screen())
		}
		if s.mode() != before {
			t.Errorf("mode of the terminal %+v, before %+v", s.mode(), before)
		}
	})
}

// TestNoTerminal: with nobody there a wanted terminal is an error after a
// pipe, and is done without otherwise.
func TestNoTerminal(t *testing.T) {
	onTerminals(t, func(t *testing.T, env, _ string) {
		run := func(script string) (string, int) {
			cmd := exec.Command("/bin/sh", "-c", env+script)
			cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(binary(t))+":"+os.Getenv("PATH"))
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			return string(out), cmd.ProcessState.ExitCode()
		}
		if out, code := run(`echo $PWD | oci-run -- true`); code != 125 || !strings.Contains(out, "oci-genspec --tty=false") {
			t.Errorf("after a pipe: %d %q, want 125 and a hint", code, out)
		}
		if out, code := run(`oci-run $ID -- tty </dev/null`); code != 1 || !strings.Contains(out, "not a tty") {
			t.Errorf("without a pipe: %d %q, want no terminal", code, out)
		}
		if out, code := run(`oci-run -t $ID -- true </dev/null`); code != 125 || !strings.Contains(out, "there is none here") {
			t.Errorf("with --tty: %d %q, want 125", code, out)
		}
	})
}
