package slack_test

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/startup/slack"
)

// A thread that started a patient process has its own slack again, and what is
// started punctually has that of the process, whatever the thread's.
func TestSlack(t *testing.T) {
	show := func(wrap func(func() error) error) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "cat", "/proc/self/timerslack_ns")
		var out strings.Builder
		cmd.Stdout = &out
		if err := wrap(cmd.Run); err != nil {
			t.Error(err)
		}
		return strings.TrimSpace(out.String())
	}
	own, err := os.ReadFile("/proc/self/timerslack_ns")
	if err != nil {
		t.Skip(err)
	}
	usual := strings.TrimSpace(string(own))
	plainly := func(start func() error) error { return start() }
	if got := show(slack.Patient); got != "1000000" {
		t.Errorf("Patient: %s ns, want 1000000", got)
	}
	if got := show(plainly); got != usual {
		t.Errorf("after Patient: %s ns, want %s", got, usual)
	}
	var got string
	notInFirstThread(func() {
		if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 3_000_000, 0, 0, 0); err != nil {
			t.Error(err)
		}
		got = show(plainly) + " " + show(slack.Punctual)
	})
	if got != "3000000 "+usual {
		t.Errorf("from a late thread, and then punctually: %s, want 3000000 %s", got, usual)
	}
}

// notInFirstThread runs f in a thread of its own, which ends with it.
func notInFirstThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			notInFirstThread(f) // while this goroutine keeps the first one
			runtime.UnlockOSThread()
			return
		}
		f()
	}()
	<-done
}
