package cmd

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// prompt is what --step asks on the terminal before each step.
const prompt = "-- Enter to go on, Ctrl-C to stop --"

// stepped is a tool that waits for Enter on a terminal of its own; its standard
// streams are not that terminal.
type stepped struct {
	*exec.Cmd
	person *os.File
	stderr bytes.Buffer
}

func startStepped(t *testing.T, args ...string) *stepped {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals: %v", err)
	}
	t.Cleanup(func() { _ = person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	s := &stepped{Cmd: exec.CommandContext(t.Context(), filepath.Join(bin, args[0]), args[1:]...), person: person}
	s.Stderr = &s.stderr
	s.ExtraFiles = []*os.File{tty}
	s.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 3}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// answer reads prompts and types the key at each; it returns how many there
// were when the tool has closed the terminal.
func (s *stepped) answer(key string) int {
	var seen strings.Builder
	asked := 0
	for buf := make([]byte, 512); ; {
		n, err := s.person.Read(buf)
		if err != nil {
			return asked // EIO: nobody has the terminal open any more
		}
		seen.Write(buf[:n])
		for asked < strings.Count(seen.String(), prompt) {
			asked++
			if _, err := s.person.WriteString(key); err != nil {
				return asked
			}
		}
	}
}

func TestStepWaitsForEnter(t *testing.T) {
	bundle := filepath.Join(t.TempDir(), "b")
	s := startStepped(t, "oci-unpack", "-x", "--step", labImage(t)+":busybox", bundle)
	asked := s.answer("\n")
	if err := s.Wait(); err != nil {
		t.Fatalf("%v: %s", err, s.stderr.String())
	}
	if steps := strings.Count("\n"+s.stderr.String(), "\n+ "); asked < 2 || steps < asked {
		t.Errorf("asked %d times for %d commands:\n%s", asked, steps, s.stderr.String())
	}
	if _, err := os.Stat(filepath.Join(bundle, "rootfs", "bin", "busybox")); err != nil {
		t.Error(err)
	}
}

func TestStepStops(t *testing.T) {
	dir := t.TempDir()
	s := startStepped(t, "oci-unpack", "-x", "--step", labImage(t)+":busybox", filepath.Join(dir, "b"))
	const interrupt = "\x03"
	if asked := s.answer(interrupt); asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	_ = s.Wait()
	if s.ProcessState.ExitCode() != 130 && s.ProcessState.Sys().(syscall.WaitStatus).Signal() != unix.SIGINT {
		t.Errorf("ended with %v, want the end by SIGINT: %s", s.ProcessState, s.stderr.String())
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestStepNeedsATerminal(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "oci-unpack"), "-x", "--step", labImage(t)+":busybox", filepath.Join(dir, "b"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "--step needs a terminal") {
		t.Errorf("%v: %s", err, out)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
