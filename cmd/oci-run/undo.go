package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/overlay"
	"github.com/oci-plumbing/oci-plumbing/lib/run"
)

// guardBundle hires the janitor as soon as there is a bundle to undo. What
// follows may take its time: the config may come through a pipe.
func (s *starter) guardBundle(ctx context.Context) error {
	if s.input.recorded == "" {
		return nil
	}
	return s.hireJanitor(ctx)
}

// hireJanitor hires with --rm who cleans up should this process be killed.
func (s *starter) hireJanitor(context.Context) error {
	if !s.Bool("rm") || s.DryRun() || s.dismiss != nil {
		return nil
	}
	s.plan.Record.Bundle = s.input.recorded
	var err error
	s.dismiss, err = run.HireJanitor(name, s.plan)
	return err
}

// withUndo undoes with --rm the bundle whose start has failed. Where the
// container was made, that was done with it, and there is nothing left to undo.
func (s *starter) withUndo(err error) error {
	dir := s.input.recorded
	if err == nil || programEnded(err) || !s.Bool("rm") || s.DryRun() || dir == "" {
		return err
	}
	if errors.Is(err, run.ErrTaken) {
		// The container that has the ID may run from this very bundle.
		return fault.Hint(err, "bundle %s stays as it is, for another try", dir)
	}
	if errors.Is(err, errInUse) {
		return err
	}
	return errors.Join(err, undo(dir))
}

// programEnded reports whether err is no failure but the program's own status.
func programEnded(err error) bool {
	var status *fault.Status
	return errors.As(err, &status) && status.Err == nil
}

// undo takes apart what the bundle records: its mounts, the last one first,
// and then the bundle itself. A bundle without such a record was not made by
// this toolkit, and stays.
func undo(dir string) error {
	b := &bundle.Bundle{Dir: dir}
	state, err := b.State()
	if errors.Is(err, fault.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := checkUnused(dir); err != nil {
		return err
	}
	for i := len(state.Mounts) - 1; i >= 0; i-- {
		target := state.Mounts[i].Target
		if err := insideBundle(dir, target); err != nil {
			return err
		}
		err := overlay.Unmount(filepath.Join(dir, target), true)
		// EINVAL: not a mount point; a reboot or the user has unmounted it.
		if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("undo bundle %s: %w", dir, err)
		}
	}
	if err := (&bundle.Bundle{Dir: dir}).Remove(); err != nil {
		return fmt.Errorf("undo bundle %s: %w", dir, err)
	}
	return nil
}

// errInUse is a bundle that a container still runs from.
var errInUse = errors.New("the bundle is in use")

// checkUnused refuses a bundle that another container runs from; the own one has
// ended when its bundle is undone.
func checkUnused(dir string) error {
	store, err := run.OpenStore(cli.RunRoot())
	if err != nil {
		return err
	}
	id, err := store.RunsFrom(dir)
	if err != nil || id == "" {
		return err
	}
	err = fmt.Errorf("bundle %s stays, container %s runs from it: %w", dir, id, errInUse)
	return fault.Hint(err, "end both with: oci-run --stop --rm %s", id)
}

// insideBundle refuses a mount that a bundle records and that is not its own.
func insideBundle(dir, target string) error {
	if !filepath.IsLocal(target) {
		return fault.Refused("%s records a mount outside of it: %q", dir, target)
	}
	return nil
}
