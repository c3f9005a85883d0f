package layout

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/durable"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// lockPatience is how long a writer waits for the others. The lock is held for
// one small write, never while bytes come from a network.
const lockPatience = 60 * time.Second

// lock takes the layout's lock, which other processes and other goroutines
// respect alike, and returns what releases it. While it waited, the directory
// may have been taken away and made again: the lock of the old one is none.
func (l *Layout) lock(ctx context.Context) (func(), error) {
	f, err := os.Open(l.dir)
	if err != nil {
		return nil, fmt.Errorf("lock layout: %w", err)
	}
	err = durable.Flock(ctx, f, unix.LOCK_EX, lockPatience)
	switch {
	case err == nil && sameFile(f, l.dir):
		return func() { _ = f.Close() }, nil
	case err == nil:
		if err := f.Close(); err != nil {
			return nil, fmt.Errorf("lock layout: %w", err)
		}
		return l.lock(ctx)
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.Is(err, unix.EWOULDBLOCK):
		err = fault.Hint(fault.Temporary("layout %s has been locked by another process for %s", l.dir, lockPatience), "see who holds it: lsof %s", l.dir)
	default:
		err = fmt.Errorf("lock layout %s: %w", l.dir, err)
	}
	return nil, errors.Join(err, f.Close())
}
