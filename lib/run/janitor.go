package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/startup/slack"
)

// A janitor is a small process that outlives a foreground run with --rm which
// is killed: it sleeps until its caller is gone, and then cleans up what that
// could not.

const shell = "/bin/sh"

// HireJanitor starts a janitor for the container of the plan. dismiss tells it
// that there is nothing left to do.
//
// What sleeps is a shell, which costs a tenth of this program: it becomes the
// Janitor only when the pipe ends without a word.
func HireJanitor(self string, plan Plan) (dismiss func(), err error) {
	far, near, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	cmd, err := again(self, JanitorWord, plan, []*os.File{far})
	if err != nil {
		return nil, errors.Join(err, far.Close(), near.Close())
	}
	if exe, err := os.Executable(); err == nil && executable(shell) == nil {
		cmd.Path = shell
		cmd.Args = []string{"sh", "-c", `read -r word <&4 || exec "$0" "$1"`, exe, JanitorWord}
	}
	if err := errors.Join(slack.Punctual(cmd.Start), far.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("start the janitor: %w", err), near.Close())
	}
	return func() {
		_, _ = near.WriteString("done\n")
		_ = near.Close()
		_ = cmd.Wait()
	}, nil
}

// Janitor is the main function of the process that HireJanitor starts.
func Janitor(undo func(bundle string) error) error {
	plan, err := readPlan()
	if err != nil {
		return err
	}
	caller := os.NewFile(reportFD, "caller")
	word, err := io.ReadAll(io.LimitReader(caller, 64))
	if err != nil || len(word) > 0 {
		return err
	}
	store, err := OpenStore(plan.RunRoot)
	if err != nil {
		return err
	}
	c, err := store.Load(plan.Record.ID)
	if err != nil && !errors.Is(err, fault.ErrNotFound) {
		return err
	}
	// The ID may be another's by now; the bundle is ours all the same.
	if err == nil && c.Created.Equal(plan.Record.Created) {
		if err := c.Destroy(context.Background()); err != nil {
			return err
		}
	}
	if plan.Record.Bundle == "" {
		return nil
	}
	return undo(plan.Record.Bundle)
}
