package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/startup/slack"
)

// The hidden first words by which this program starts itself again.
const (
	insideWord = "(inside)"
	taskWord   = "task"
	holdWord   = "hold"
)

// taskFd is where the task is read, reportFd where the process outside is told
// how far this one got.
const (
	taskFd   = 3
	reportFd = 4
)

// inside is the task of the process in the new namespaces.
type inside struct {
	Verb string
	Plan plan
	// Parent is the process outside.
	Parent int
	// heard is called outside for each word of the process; may be nil.
	heard func(word byte)
}

const (
	verbChain   = "chain"
	verbRemove  = "remove"
	verbSettle  = "settle"
	verbCollect = "collect"
)

// insideCommand is what runs in the new namespaces. It is a command of its
// own so that messages look the same.
func insideCommand() *cli.Command {
	return &cli.Command{Name: name, Operands: "TASK", MaxOperands: 1, OwnFailure: ownFailure, Run: runTask}
}

func runTask(ctx context.Context, inv *cli.Invocation) error {
	if inv.Operand(0) == holdWord {
		// The namespace is wanted, not the process.
		_, err := io.Copy(io.Discard, inv.In)
		return err
	}
	task, err := readTask()
	if err != nil {
		return err
	}
	switch task.Verb {
	case verbRemove:
		return (&bundle.Bundle{Dir: task.Plan.Bundle}).Remove()
	case verbSettle:
		return settle(&bundle.Bundle{Dir: task.Plan.Bundle})
	case verbCollect:
		return collectIn(ctx, inv, task.Plan.Root)
	case verbChain:
		return becomeProgram(ctx, inv, task.Plan, task.Parent)
	}
	return fmt.Errorf("unknown task %q", task.Verb)
}

// readTask waits for the task, which comes when the ids are mapped. Only a
// program that is started with them has the capabilities of root in the
// namespace, so this one starts itself once more when it lacks them.
func readTask() (*inside, error) {
	in := os.NewFile(taskFd, "task")
	defer in.Close()
	data, err := io.ReadAll(in)
	if err != nil {
		return nil, fmt.Errorf("read the task: %w", err)
	}
	if len(data) == 0 {
		return nil, errors.New("the process outside ended")
	}
	if !privileged() {
		return nil, again(data)
	}
	task := new(inside)
	if err := json.Unmarshal(data, task); err != nil {
		return nil, fmt.Errorf("read the task: %w", err)
	}
	// Gaining capabilities has cleared the death signal.
	return task, dieWith(task.Parent)
}

// dieWith ends the calling thread's process when its parent ends. It is a
// property of the thread, also of the one that becomes a program.
func dieWith(parent int) error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGTERM), 0, 0, 0); err != nil {
		return fmt.Errorf("set the death signal: %w", err)
	}
	if os.Getppid() != parent {
		return errors.New("the process outside ended")
	}
	return nil
}

// again replaces the process by itself, with the task in a file that needs no
// writer.
func again(data []byte) error {
	fd, err := unix.MemfdCreate("task", 0)
	if err != nil {
		return fmt.Errorf("keep the task: %w", err)
	}
	f := os.NewFile(uintptr(fd), "task")
	if _, err := f.WriteAt(data, 0); err != nil {
		return fmt.Errorf("keep the task: %w", err)
	}
	if fd != taskFd {
		if err := unix.Dup3(fd, taskFd, 0); err != nil {
			return fmt.Errorf("keep the task: %w", err)
		}
	}
	runtime.KeepAlive(f)
	return fmt.Errorf("start again: %w", unix.Exec("/proc/self/exe", ownWords(), os.Environ()))
}

// becomeProgram mounts, and then runs PROG in the place of this process: its
// status, its signals and its terminal are the program's.
func becomeProgram(ctx context.Context, inv *cli.Invocation, p plan, parent int) error {
	if err := hiddenMounts(); err != nil {
		return err
	}
	unix.CloseOnExec(reportFd) // its end says that PROG runs
	report := os.NewFile(reportFd, "report")
	defer report.Close()
	made, err := newMounter(p, inv).mount(ctx)
	if err != nil {
		return err
	}
	if err := say(report, saysMounted); err != nil {
		return errors.Join(err, made.undo())
	}
	// Now the process outside has the lock of the bundle, and clears it away.
	err = execProgram(p, made, parent)
	word := byte(saysFailed)
	if made.fresh {
		word = saysVain
	}
	if say(report, word) != nil { // it has ended
		return errors.Join(err, leave(made))
	}
	return err
}

// leave steps out of the bundle and takes it back.
func leave(made *mounted) error {
	if err := os.Chdir("/"); err != nil {
		return fmt.Errorf("leave the bundle: %w", err)
	}
	return made.undo()
}

// execProgram does not return unless it fails.
func execProgram(p plan, made *mounted, parent int) error {
	if err := os.Chdir(made.bundle.Dir); err != nil {
		return fmt.Errorf("enter the bundle: %w", err)
	}
	runtime.LockOSThread()
	if err := dieWith(parent); err != nil {
		return err
	}
	// An ignored signal stays ignored in the program, a caught one does not.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	env := append(os.Environ(), "OCI_BUNDLE="+made.bundle.Dir)
	err := slack.Punctual(func() error { return unix.Exec(p.Program[0], p.Program, env) })
	return fault.WithStatus(notExecutable, fmt.Errorf("run %s: %w", p.Program[0], err))
}

// say tells the process outside.
func say(report *os.File, word byte) error {
	if _, err := report.Write([]byte{word}); err != nil {
		return fmt.Errorf("report to the process outside: %w", err)
	}
	return nil
}
