package run

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/startup/slack"
)

// InitWord makes the tool the Init of a container. It is no ID.
const InitWord = "@init"

// initPath is where the tool is mounted in the container. /dev is a tmpfs, in
// which the mount point can be made even if the root file system is read-only.
const initPath = "/dev/oci-run"

// Init is the main function of pid 1 in a container with --init: it starts the
// program, passes on signals, reaps orphans, and returns the exit status of
// the program. Unlike the program itself it has handlers for all signals, so
// that none is dropped by the kernel for being sent to pid 1.
func Init(command []string) (int, error) {
	path, err := exec.LookPath(command[0])
	if err != nil {
		return startFailure(err)
	}
	caught, child := make(chan os.Signal, 128), make(chan os.Signal, 1)
	signal.Notify(caught)
	// The end of the program must not be lost in a flood of others.
	signal.Notify(child, unix.SIGCHLD)
	var pid int
	if err := slack.Punctual(func() (err error) {
		pid, err = syscall.ForkExec(path, command, &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}})
		return err
	}); err != nil {
		return startFailure(err)
	}
	for {
		select {
		case <-child:
			if code, ended := reapAll(pid); ended {
				return code, nil
			}
		case s := <-caught:
			if sig, ok := s.(unix.Signal); ok && !slices.Contains(notPassed, sig) {
				_ = unix.Kill(pid, sig)
			}
		}
	}
}

func startFailure(err error) (int, error) {
	status := StatusNotExecutable
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, exec.ErrNotFound) {
		status = StatusNotFound
	}
	return status, fault.WithStatus(status, fmt.Errorf("start the program: %w", err))
}

// reapAll waits for all that have ended, and tells whether pid has.
func reapAll(pid int) (code int, ended bool) {
	for {
		var ws unix.WaitStatus
		got, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || got <= 0 {
			return code, ended
		}
		if got == pid {
			code, ended = outcomeOf(ws).Status(), true
		}
	}
}
