package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// followPause is how often a followed log is looked at. Polling works on
// every file system, and costs one read.
const followPause = 100 * time.Millisecond

// Logs writes the log of the container to out; with follow until the container
// has ended and all is written.
func (c *Container) Logs(ctx context.Context, out io.Writer, follow bool) error {
	path := c.logPath()
	switch {
	case c.Log == LogJournald:
		return fault.Hint(fault.NotFound("container %s writes to the journal", c.ID), "journalctl SYSLOG_IDENTIFIER=%s", c.ID)
	case path == "":
		return fault.NotFound("container %s has no log", c.ID)
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read the log of container %s: %w", c.ID, err)
	}
	defer func() { _ = f.Close() }()
	for {
		// The state is asked for first: what was written before the end is then
		// read after it.
		state, _, err := c.State()
		if err != nil {
			return err
		}
		if _, err := io.Copy(out, f); err != nil {
			return fmt.Errorf("copy the log of container %s: %w", c.ID, err)
		}
		if !follow {
			return nil
		}
		if next, err := rotated(f, path); err != nil {
			return err
		} else if next != nil {
			if _, err := io.Copy(out, f); err != nil {
				return errors.Join(fmt.Errorf("copy the log of container %s: %w", c.ID, err), next.Close())
			}
			if err := f.Close(); err != nil {
				return errors.Join(err, next.Close())
			}
			f = next
			continue
		}
		if state == StateExited || state == StateUnknown {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(followPause):
		}
	}
}

// rotated returns the new file when path is no longer f.
func rotated(f *os.File, path string) (*os.File, error) {
	was, err := f.Stat()
	if err != nil {
		return nil, err
	}
	now, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if os.SameFile(was, now) {
		return nil, nil
	}
	return os.Open(path)
}
