package run

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	if err := c.copyLog(ctx, out, path, follow); err != nil {
		return fmt.Errorf("copy the log of container %s: %w", c.ID, err)
	}
	return nil
}

func (c *Container) copyLog(ctx context.Context, out io.Writer, path string, follow bool) error {
	r := rotation{path: path, files: max(1, c.LogFiles)}
	// Without follow this is where it ends, however fast the program writes.
	last, err := os.Stat(path)
	if err != nil {
		return err
	}
	f, err := r.oldest()
	if err != nil {
		return err
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
			return err
		}
		if !follow && isFile(f, last) {
			return nil
		}
		next, err := r.next(f)
		if err != nil {
			return err
		}
		if next != nil {
			// What was written between the copy and the rotation.
			if _, err := io.Copy(out, f); err != nil {
				return errors.Join(err, next.Close())
			}
			_ = f.Close()
			f = next
			continue
		}
		if !follow || state == StateExited || state == StateUnknown {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(followPause):
		}
	}
}
