package cmd

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// demo is a run of scripts/demo, in a process group of its own and with a
// directory for temporary files that must be empty afterwards.
type demo struct {
	*exec.Cmd
	tmp string
	out syncBuffer
}

func startDemo(t *testing.T) *demo {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("the demo mounts: it needs root")
	}
	d := &demo{tmp: t.TempDir()}
	d.Cmd = exec.CommandContext(t.Context(), "../scripts/demo")
	d.Env = append(os.Environ(), "TMPDIR="+d.tmp, "BINDIR="+bin, "IMAGE=")
	d.Stdout, d.Stderr = &d.out, &d.out
	d.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	return d
}

// check wants nothing to be left: no mount, process, container or file.
func (d *demo) check(t *testing.T) {
	t.Helper()
	for _, target := range mountsBelow(t, d.tmp) {
		t.Errorf("left mounted: %s", target)
		_ = unix.Unmount(target, unix.MNT_DETACH)
	}
	if left, err := os.ReadDir(d.tmp); err != nil || len(left) != 0 {
		t.Errorf("left in TMPDIR: %v, %v", left, err)
	}
	// The group is empty when no signal can be sent to it.
	if err := unix.Kill(-d.Process.Pid, 0); err == nil {
		t.Error("left running: processes of the demo's group")
		_ = unix.Kill(-d.Process.Pid, unix.SIGKILL)
	}
	states, err := filepath.Glob("/run/runc/*/state.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range states {
		if state, err := os.ReadFile(path); err == nil && bytes.Contains(state, []byte(d.tmp)) {
			t.Errorf("left container %s", filepath.Base(filepath.Dir(path)))
		}
	}
	if t.Failed() {
		t.Logf("the demo printed:\n%s", d.out.String())
	}
}

func TestDemo(t *testing.T) {
	d := startDemo(t)
	if err := d.Wait(); err != nil {
		t.Errorf("demo = %v, want status 0", err)
	}
	for _, want := range []string{"\nhello from ", "oci-run ended with 7\n", "\nlab\n", "\nA /file\n"} {
		if !strings.Contains(d.out.String(), want) {
			t.Errorf("the demo did not print %q", want)
		}
	}
	d.check(t)
}

// TestDemoInterrupted stops it as a terminal does, the whole group at once, and
// as kill does, the script alone.
func TestDemoInterrupted(t *testing.T) {
	for _, test := range []struct {
		name string
		// seen is what the demo has printed when the signal comes.
		seen   string
		signal syscall.Signal
		group  bool
		status int
	}{
		{"Ctrl-C while the image is copied", "$ oci-copy --src", unix.SIGINT, true, 130},
		{"Ctrl-C in the pipe", "$ oci-mount oci:store:demo mounted", unix.SIGINT, true, 130},
		{"TERM to the script", "$ oci-mount --list", unix.SIGTERM, false, 143},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := startDemo(t)
			for deadline := time.Now().Add(time.Minute); !strings.Contains(d.out.String(), test.seen); {
				if time.Now().After(deadline) {
					t.Errorf("the demo did not come to %q", test.seen)
					break
				}
				time.Sleep(2 * time.Millisecond)
			}
			pid := d.Process.Pid
			if test.group {
				pid = -pid
			}
			if err := unix.Kill(pid, test.signal); err != nil {
				t.Errorf("kill: %v", err)
			}
			_ = d.Wait()
			if got := d.ProcessState.ExitCode(); got != test.status {
				t.Errorf("status = %d, want %d", got, test.status)
			}
			d.check(t)
		})
	}
}

// syncBuffer can be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
