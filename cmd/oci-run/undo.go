package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/overlay"
)

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
	for i := len(state.Mounts) - 1; i >= 0; i-- {
		target := state.Mounts[i].Target
		if !filepath.IsLocal(target) {
			return fault.Refused("%s records a mount outside of it: %q", dir, target)
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
