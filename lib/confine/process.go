package confine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/startup/slack"
)

// process is a child that waits for its order.
type process struct {
	cmd     *exec.Cmd
	orders  io.WriteCloser
	answers *os.File
}

// launch starts a process. It dies with the calling thread.
func launch(ctx context.Context, name string, stderr io.Writer, wall, mapped bool) (*process, error) {
	ours, theirs, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("confine: %w", err)
	}
	defer theirs.Close() // the child has its own
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args = []string{name, Argument}
	cmd.Stderr = stderr
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = attributes(wall, mapped)
	orders, err := cmd.StdinPipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("confine: %w", err), ours.Close())
	}
	if err := slack.Patient(cmd.Start); err != nil {
		_ = ours.Close()
		if wall && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EINVAL)) {
			return nil, &noWallError{err}
		}
		return nil, fmt.Errorf("start the confined process: %w", err)
	}
	return &process{cmd: cmd, orders: orders, answers: ours}, nil
}

// attributes make the namespace. An ordinary user owns a user namespace first,
// in which the ids stay what they are; the capabilities in it must be ambient
// to outlive the start of the program.
func attributes(wall, mapped bool) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if !wall {
		return attr
	}
	attr.Cloneflags = unix.CLONE_NEWNS
	uid, gid := os.Geteuid(), os.Getegid()
	if uid == 0 {
		return attr
	}
	attr.Cloneflags |= unix.CLONE_NEWUSER
	attr.AmbientCaps = []uintptr{
		unix.CAP_SYS_ADMIN, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_CHOWN, unix.CAP_FSETID, unix.CAP_SETFCAP,
	}
	if !mapped {
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
	}
	return attr
}

// kill is for a process that nobody listens to any more.
func (p *process) kill() { _ = p.cmd.Process.Kill() }

// end closes what the process was spoken to through.
func (p *process) end() {
	_ = p.orders.Close()
	_ = p.answers.Close()
}
