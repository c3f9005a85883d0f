package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/run"
)

// find returns the container of the operand.
func find(inv *cli.Invocation) (*run.Container, error) {
	store, err := run.OpenStore(cli.RunRoot())
	if err != nil {
		return nil, err
	}
	return store.Load(inv.Operand(0))
}

func wait(_ context.Context, inv *cli.Invocation) error {
	c, err := find(inv)
	if err != nil {
		return err
	}
	outcome, err := c.Wait()
	if err != nil {
		return err
	}
	return end(inv, c, outcome)
}

// end passes on the exit status of a container. An unknown one is a failure of
// this tool, never the program's.
func end(inv *cli.Invocation, c *run.Container, o run.Outcome) error {
	if o.OOM {
		inv.Log.Warn("the kernel killed a process of container %s: out of memory", c.ID)
	}
	if o.Unknown {
		return fault.Hint(fmt.Errorf("the exit status of container %s is unknown: its monitor was killed", c.ID), "forget it with: oci-run --delete %s", c.ID)
	}
	return fault.Exit(o.Status())
}

func stop(ctx context.Context, inv *cli.Invocation) error {
	c, err := find(inv)
	if err != nil {
		return err
	}
	sig := unix.Signal(c.StopSignal)
	if word := inv.String("stop-signal"); word != "" {
		if sig, err = run.ParseSignal(word); err != nil {
			return err
		}
	}
	if sig == 0 {
		sig = unix.SIGTERM
	}
	if _, err := c.Stop(ctx, sig, inv.Duration("time")); err != nil {
		return err
	}
	if !inv.Bool("rm") {
		return nil
	}
	if err := c.Destroy(ctx); err != nil {
		return err
	}
	if c.Bundle == "" {
		return nil
	}
	return undo(c.Bundle)
}

func remove(ctx context.Context, inv *cli.Invocation) error {
	c, err := find(inv)
	if err != nil {
		return err
	}
	return c.Destroy(ctx)
}

func logs(ctx context.Context, inv *cli.Invocation) error {
	c, err := find(inv)
	if err != nil {
		return err
	}
	return printLog(ctx, inv, c, inv.Bool("follow"))
}

func printLog(ctx context.Context, inv *cli.Invocation, c *run.Container, follow bool) error {
	err := c.Logs(ctx, inv.Out, follow)
	if errors.Is(err, unix.EPIPE) {
		return fault.Exit(1) // the reader has seen enough
	}
	return err
}

// row is a container in the list.
type row struct {
	ID      string    `json:"id"`
	Pid     int       `json:"pid,omitempty"`
	State   string    `json:"state"`
	Exit    *int      `json:"exitStatus,omitempty"`
	OOM     bool      `json:"oom,omitempty"`
	Image   string    `json:"image,omitempty"`
	Bundle  string    `json:"bundle,omitempty"`
	Runtime string    `json:"runtime"`
	Created time.Time `json:"created"`
	Log     string    `json:"log,omitempty"`
	Watched bool      `json:"monitored"`
	age     time.Duration
}

func list(_ context.Context, inv *cli.Invocation) error {
	store, err := run.OpenStore(cli.RunRoot())
	if err != nil {
		return err
	}
	all, err := store.List()
	if err != nil {
		return err
	}
	var rows []row
	for _, c := range all {
		r, err := rowOf(c)
		if err != nil {
			return err
		}
		rows = append(rows, r)
	}
	if inv.Bool("json") {
		enc := json.NewEncoder(inv.Out)
		for _, r := range rows {
			if err := enc.Encode(r); err != nil {
				return fmt.Errorf("print the list: %w", err)
			}
		}
		return nil
	}
	return table(inv, rows)
}

func rowOf(c *run.Container) (row, error) {
	state, outcome, err := c.State()
	if err != nil {
		return row{}, err
	}
	r := row{
		ID: c.ID, State: state, OOM: outcome.OOM, Image: c.Image, Bundle: c.Bundle,
		Runtime: c.Runtime.Name(), Created: c.Created, Log: c.Log, Watched: c.Monitored(), age: c.Age(),
	}
	switch state {
	case run.StateRunning:
		r.Pid = c.Process.Pid
	case run.StateExited:
		if !outcome.Unknown {
			code := outcome.Status()
			r.Exit = &code
		}
	}
	return r, nil
}

// table prints the rows for people; --json is for programs.
func table(inv *cli.Invocation, rows []row) error {
	lines := []string{"ID\tPID\tSTATE\tEXIT\tRUNTIME\tAGE\tIMAGE\tBUNDLE\n"}
	for _, r := range rows {
		pid, exit := "-", "-"
		if r.Pid != 0 {
			pid = fmt.Sprint(r.Pid)
		}
		switch {
		case r.Exit != nil:
			exit = fmt.Sprint(*r.Exit)
		case r.State == run.StateUnknown || r.State == run.StateExited:
			exit = "unknown"
		}
		if r.OOM {
			exit += " (oom)"
		}
		lines = append(lines, strings.Join([]string{r.ID, pid, r.State, exit, r.Runtime, r.age.String(), dash(r.Image), dash(r.Bundle)}, "\t")+"\n")
	}
	w := tabwriter.NewWriter(inv.Out, 0, 8, 2, ' ', 0)
	_, err := io.WriteString(w, strings.Join(lines, ""))
	if err = errors.Join(err, w.Flush()); err != nil {
		return fmt.Errorf("print the list: %w", err)
	}
	return nil
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// attach connects to the terminal of a container; without one it follows the
// log. Either way it ends with the status of the program.
func attach(ctx context.Context, inv *cli.Invocation) error {
	c, err := find(inv)
	if err != nil {
		return err
	}
	watch, err := c.Watch()
	if err != nil {
		return err
	}
	if c.Terminal {
		left, err := c.Attach(ctx, guestStreams(inv))
		if err != nil {
			return err
		}
		if left {
			inv.Log.Note("left container %s, which goes on", c.ID)
			return nil
		}
	} else if err := printLog(ctx, inv, c, true); err != nil && !errors.Is(err, fault.ErrNotFound) {
		return err
	}
	outcome, err := watch.Wait()
	if err != nil {
		return err
	}
	return end(inv, c, outcome)
}
