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
	deadline := time.Now().Add(lockPatience)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return func() { _ = f.Close() }, nil
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EWOULDBLOCK):
			return nil, errors.Join(fmt.Errorf("lock layout %s: %w", l.dir, err), f.Close())
		case time.Now().After(deadline):
			err := fault.Temporary("layout %s has been locked by another process for %s", l.dir, lockPatience)
			return nil, errors.Join(fault.Hint(err, "see who holds it: lsof %s", l.dir), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), f.Close())
		case <-time.After(pause):
		}
	}
}
