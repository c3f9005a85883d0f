package confine

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
)

// Child is a process to be started behind the wall.
type Child struct {
	// Name is the name of the program, as it was called.
	Name string
	// Dir is the one directory that it may write.
	Dir string
	// UIDs and GIDs hold, as the host's side of maps, the owners that the
	// child shall be able to give files to. Root needs none; an ordinary
	// user's child can, without them, but give files to that user.
	UIDs, GIDs idmap.Map
	// Ahead may hold a process that waits; the first Run takes it.
	Ahead *Ahead
	// Stderr takes what the child prints when it crashes.
	Stderr io.Writer
	// Message is called with each message of the child, in turn.
	Message func(json.RawMessage)
	// NoWall is told why, when the kernel does not let this user make the
	// namespace, and the child runs without.
	NoWall func(reason error)
}

// Run starts the child with the job, and decodes its result into result. An
// error of the child keeps its kind and hints. When ctx is done the child is
// killed: what it leaves in Dir is the caller's to remove.
func (c *Child) Run(ctx context.Context, job, result any) error {
	encoded, err := json.Marshal(job)
	if err != nil {
		return fmt.Errorf("confine: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Stat(c.Dir, &st); err != nil {
		return fmt.Errorf("stat %s: %w", c.Dir, err)
	}
	o := order{Dir: []byte(c.Dir), Device: st.Dev, Inode: st.Ino, Wall: true, Job: encoded}
	err = c.start(ctx, o, result)
	var noWall *noWallError
	if errors.As(err, &noWall) && os.Geteuid() != 0 && len(c.UIDs)+len(c.GIDs) == 0 {
		if c.NoWall != nil {
			c.NoWall(noWall.err)
		}
		o.Wall = false
		err = c.start(ctx, o, result)
	}
	return err
}

// noWallError says that the kernel refused the namespace.
type noWallError struct{ err error }

func (e *noWallError) Error() string {
	return fmt.Sprintf("make a private mount namespace: %v", e.err)
}
func (e *noWallError) Unwrap() error { return e.err }

func (c *Child) start(ctx context.Context, o order, result any) error {
	input, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("confine: %w", err)
	}
	// The child dies with the thread that made it: the goroutine keeps it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	mapped := os.Geteuid() != 0 && len(c.UIDs)+len(c.GIDs) > 0
	p := c.Ahead.take()
	if p == nil {
		if p, err = launch(ctx, c.Name, c.Stderr, o.Wall, mapped); err != nil {
			return err
		}
	}
	defer p.end()
	stop := context.AfterFunc(ctx, p.kill)
	defer stop()
	if err := c.tell(ctx, p.cmd.Process.Pid, mapped, p.orders, input); err != nil {
		p.kill()
		_ = p.cmd.Wait()
		return err
	}
	answered, err := c.listen(p.answers, result)
	waited := p.cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	case !answered:
		return fmt.Errorf("the confined process ended without an answer: %w", waited)
	}
	return nil
}

// tell gives the child its order, once its user namespace has all its ids. A
// child that died before has said why on its own channel.
func (c *Child) tell(ctx context.Context, pid int, mapped bool, stdin io.WriteCloser, input []byte) error {
	if mapped {
		if err := c.mapOwners(ctx, pid); err != nil {
			return err
		}
	}
	_, err := stdin.Write(input)
	if err != nil && !errors.Is(err, unix.EPIPE) {
		return fmt.Errorf("tell the confined process: %w", err)
	}
	if err := stdin.Close(); err != nil {
		return fmt.Errorf("tell the confined process: %w", err)
	}
	return nil
}

// listen passes the messages on until the result or the error comes.
func (c *Child) listen(from io.Reader, result any) (answered bool, err error) {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("listen to the confined process: %w", err)
		}
		var a answer
		if err := json.Unmarshal(line, &a); err != nil {
			return false, fmt.Errorf("listen to the confined process: %w", err)
		}
		switch {
		case a.Error != nil && a.Error.Kind == "no-wall":
			return true, &noWallError{errors.New(a.Error.Text)}
		case a.Error != nil:
			return true, a.Error.unpack()
		case a.Result != nil:
			if err := json.Unmarshal(a.Result, result); err != nil {
				return true, fmt.Errorf("listen to the confined process: %w", err)
			}
			return true, nil
		case c.Message != nil:
			c.Message(a.Message)
		}
	}
}
