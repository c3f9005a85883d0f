package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// destroy kills what is left of a container and has the runtime forget it.
func (r Runtime) destroy(ctx context.Context, rec *Record, ch *children) error {
	if r.gone() {
		return r.destroyAlone(rec)
	}
	if rec.SharedPIDs && rec.Process.Pid != 0 {
		// Nobody kills the others when the first process ends, and they hold
		// the cgroup (runc issues 4040, 4047). Without them there is no error
		// worth telling.
		_ = r.do(ctx, call{words: []string{"kill", "--all", rec.ID, "KILL"}, children: ch})
	}
	err := r.deleteForce(ctx, rec.ID, ch)
	if err == nil {
		// A runtime that was killed may have left cgroups that no state tells of.
		err = rec.removeCgroups()
	}
	return err
}

// knows reports whether the runtime's state directory has the container.
func (r Runtime) knows(id string) bool {
	return slices.ContainsFunc(r.traces(id), func(path string) bool {
		_, err := os.Lstat(path)
		return err == nil
	})
}

// taken explains that the runtime has a container of this ID that this tool
// has not started.
func (r Runtime) taken(id string, cause error) error {
	err := fmt.Errorf("container ID %s is taken: %s has a container of that ID", id, r.Name())
	err = &joined{err, errors.Join(ErrTaken, cause)}
	return fault.Hint(fault.WithStatus(StatusFailed, err), "free it with: %s, or use --replace", explain.Quote(r.Command("delete", "--force", id)...))
}

// joined shows one error and unwraps to both.
type joined struct{ shown, cause error }

func (j *joined) Error() string   { return j.shown.Error() }
func (j *joined) Unwrap() []error { return []error{j.shown, j.cause} }

// explainTaken says what holds the ID.
func (s *Store) explainTaken(err error, id string) error {
	if !errors.Is(err, ErrTaken) {
		return err
	}
	c, lerr := s.Load(id)
	if errors.Is(lerr, fault.ErrNotFound) {
		what := fmt.Errorf("container ID %s was taken, and is free again", id)
		return fault.Hint(fault.WithStatus(StatusFailed, &joined{what, err}), "try again")
	}
	if lerr != nil {
		return errors.Join(err, lerr)
	}
	state, _, serr := c.State()
	if serr != nil {
		return errors.Join(err, serr)
	}
	what := fmt.Sprintf("container ID %s is taken: %s", id, state)
	if c.Bundle != "" {
		what += ", bundle " + c.Bundle
	}
	if c.Process.Pid != 0 && state == StateRunning {
		what += fmt.Sprintf(", pid %d", c.Process.Pid)
	}
	return fault.Hint(fault.WithStatus(StatusFailed, &joined{errors.New(what), err}), "free it with: oci-run --delete %s, or use --replace", id)
}

// Vacate makes room for a new container of the ID. A finished one that nobody
// but its record knows goes silently; any other only by force (--replace).
func (s *Store) Vacate(ctx context.Context, r Runtime, id string, force bool) error {
	c, err := s.Load(id)
	switch {
	case errors.Is(err, fault.ErrNotFound):
		if !r.knows(id) {
			return nil
		}
		return s.vacateForeign(ctx, r, id, force)
	case err != nil:
		return err
	}
	state, _, err := c.State()
	if err != nil {
		return err
	}
	if !force && (state != StateExited || c.Runtime.knows(id)) {
		return s.explainTaken(ErrTaken, id)
	}
	return c.Destroy(ctx)
}

// vacateForeign makes room where the runtime has a container of the ID that is
// in no record. Nobody can claim the ID meanwhile; who has done so since it was
// looked for is found by the claim of this call.
func (s *Store) vacateForeign(ctx context.Context, r Runtime, id string, force bool) error {
	unlock, err := s.lock(unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := s.Load(id); !errors.Is(err, fault.ErrNotFound) {
		return err
	}
	if !r.knows(id) {
		return nil
	}
	if !force {
		return r.taken(id, nil)
	}
	return r.destroy(ctx, &Record{ID: id}, nil)
}

// awaitCreate waits for a "create" that has outlived its caller: what is
// deleted while it is still at work would come back.
func (c *Container) awaitCreate() {
	mark := []byte("\x00" + c.path(pidFile) + "\x00")
	for deadline := time.Now().Add(callLimit); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil {
			return
		}
		if !slices.ContainsFunc(lines, func(file string) bool {
			line, err := os.ReadFile(file)
			return err == nil && bytes.Contains(line, mark)
		}) {
			return
		}
	}
}

// Destroy kills the container, has its runtime forget it, and forgets it. The
// monitor, if it lives, is given the time to see the end. What another call has
// removed meanwhile is gone, whoever has the ID now.
func (c *Container) Destroy(ctx context.Context) error {
	release, mine, err := c.hold(unix.LOCK_EX)
	if err != nil || !mine {
		return err
	}
	defer release()
	state, err := c.settle()
	if err != nil {
		return err
	}
	if state == StateRunning {
		if err := c.kill(ctx); err != nil {
			return err
		}
	}
	if state == StateUnknown && c.Process.Pid == 0 {
		c.awaitCreate()
	}
	if err := c.awaitMonitor(); err != nil {
		return err
	}
	// A monitor that removes its container leaves the ID to others. One that is
	// dead does not, and nobody else does while this call holds the container.
	if there, err := c.reload(); err != nil || !there {
		return err
	}
	if !c.owned() || !c.deletePlain() {
		if err := c.Runtime.destroy(ctx, &c.Record, nil); err != nil {
			return err
		}
	}
	c.removePidFile()
	return c.Forget()
}

// awaitMonitor waits until the monitor has ended, if there is one.
func (c *Container) awaitMonitor() error {
	if !c.Monitored() {
		return nil
	}
	watch, err := c.Watch()
	if err == nil {
		_, err = watch.waitFor(cleanLimit)
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
