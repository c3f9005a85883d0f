package run

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// Kill sends a signal to the first process of the container.
func (c *Container) Kill(ctx context.Context, sig unix.Signal) error {
	return c.Runtime.signal(ctx, &c.Record, sig, nil)
}

// signal sends sig to the first process: directly where that is the program,
// through the runtime where it is a sandbox that holds the program (runsc), or
// where the kernel forbids it, the program being another user's on the host.
func (r Runtime) signal(ctx context.Context, rec *Record, sig unix.Signal, ch *children) error {
	if r.kind() != kindRunsc {
		err := rec.Process.signal(sig)
		if err == nil || errors.Is(err, unix.ESRCH) {
			return nil
		}
		if !errors.Is(err, unix.EPERM) {
			return err
		}
	}
	name := signalName(sig)
	if unix.SignalName(sig) == "" {
		name = itoa(int(sig))
	}
	err := r.do(ctx, call{words: []string{"kill", rec.ID, name}, children: ch})
	if err != nil && !rec.Process.alive() {
		return nil
	}
	return err
}

// Stop asks the program to end, and kills it when it has not after grace. It
// returns the outcome.
func (c *Container) Stop(ctx context.Context, sig unix.Signal, grace time.Duration) (Outcome, error) {
	state, o, err := c.State()
	if err != nil || state == StateExited || state == StateUnknown {
		return o, err
	}
	if err := c.Kill(ctx, sig); err != nil {
		return Outcome{}, err
	}
	if !c.Process.waitGone(grace) {
		if err := c.Kill(ctx, unix.SIGKILL); err != nil {
			return Outcome{}, err
		}
	}
	return c.Wait()
}
