package layout

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// lockPatience is how long a writer waits for the others. The lock is held for
// one small write, never while bytes come from a network.
const lockPatience = 60 * time.Second

// lock takes the layout's lock, which other processes and other goroutines
// respect alike, and returns what releases it.
func (l *Layout) lock(ctx context.Context) (func(), error) {
	f, err := os.Open(l.dir)
	if err != nil {
		return nil, fmt.Errorf("lock layout: %w", err)
	}
	err = flock(ctx, f, unix.LOCK_EX, lockPatience)
	switch {
	case err == nil:
		return func() { _ = f.Close() }, nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.Is(err, unix.EWOULDBLOCK):
		err = fault.Hint(fault.Temporary("layout %s has been locked by another process for %s", l.dir, lockPatience), "see who holds it: lsof %s", l.dir)
	default:
		err = fmt.Errorf("lock layout %s: %w", l.dir, err)
	}
	return nil, errors.Join(err, f.Close())
}

// flock waits for the lock until ctx ends, or the patience: then its error is
// EWOULDBLOCK. flock(2) itself has no timeout.
func flock(ctx context.Context, f *os.File, how int, patience time.Duration) error {
	deadline := time.Now().Add(patience)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EWOULDBLOCK), time.Now().After(deadline):
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}
