package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// evictionWait bounds how long eviction waits for users to finish.
const evictionWait = 5 * time.Second

// openLock opens or makes the lock file.
func openLock(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// flock waits for the lock until ctx ends. flock(2) has no timeout, and a
// blocked call cannot be cancelled: so it is asked again and again, at first
// often. The kernel frees the lock when its holder dies.
func flock(ctx context.Context, f *os.File, how int) error {
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := tryFlock(f, how)
		if err == nil || !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		select {
		case <-ctx.Done():
			return fault.As(fault.ErrTemporary, fmt.Errorf("wait for lock %s: %w", f.Name(), context.Cause(ctx)))
		case <-time.After(pause):
		}
	}
}

func tryFlock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		return nil
	}
}

// Use holds the store against eviction until release is called: from before
// the first look for a layer until the mount that uses it stands.
func (s *Store) Use(ctx context.Context) (release func(), err error) {
	if err := s.prepare(); err != nil {
		return nil, err
	}
	return s.hold(ctx, unix.LOCK_SH)
}

// exclude holds the store for eviction.
func (s *Store) exclude(ctx context.Context) (release func(), err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, evictionWait, errors.New("layers are being made or mounted"))
	defer cancel()
	release, err = s.hold(ctx, unix.LOCK_EX)
	if errors.Is(err, fault.ErrTemporary) {
		err = fault.Hint(err, "try again when no oci-mount is starting")
	}
	return release, err
}

func (s *Store) hold(ctx context.Context, how int) (release func(), err error) {
	f, err := openLock(s.path("lock"))
	if err != nil {
		return nil, err
	}
	if err := flock(ctx, f, how); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}
