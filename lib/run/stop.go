package run

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// kill kills the first process of the container, and waits until it is dead.
func (c *Container) kill(ctx context.Context) error {
	if c.Runtime.gone() {
		return c.end()
	}
	if err := c.Runtime.insist(ctx, &c.Record, unix.SIGKILL, nil); err != nil {
		return err
	}
	if !c.Process.waitGone(callLimit) {
		return c.Process.stillAlive(errNoEnd)
	}
	return nil
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
	watch, err := c.Watch()
	if errors.Is(err, os.ErrNotExist) {
		return unknownOutcome(), nil
	}
	if err != nil {
		return Outcome{}, err
	}
	state, err := c.settle()
	if err != nil {
		return Outcome{}, errors.Join(err, watch.status.Close())
	}
	if state == StateExited || state == StateUnknown {
		return watch.waitFor(cleanLimit)
	}
	if c.Started || c.Monitored() {
		c.awaitProgram(execWait)
	}
	err = c.Runtime.insist(ctx, &c.Record, sig, nil)
	if err == nil && !c.Process.waitGone(grace) {
		err = c.kill(ctx)
	}
	if err != nil {
		return Outcome{}, errors.Join(err, watch.status.Close())
	}
	o, err := watch.waitFor(cleanLimit)
	if err == nil {
		c.removePidFile() // a monitor that was killed has not
	}
	return o, err
}
