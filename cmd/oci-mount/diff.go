package main

import (
	"context"
	"path/filepath"
	"slices"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/overlay"
	"github.com/oci-plumbing/oci-plumbing/lib/pipe"
)

// diff prints what was changed in each bundle.
func diff(ctx context.Context, inv *cli.Invocation) error {
	if len(inv.Operands) > 1 {
		return inv.Usage("unexpected operand %q", inv.Operands[1])
	}
	root, err := stateDir(inv)
	if err != nil {
		return err
	}
	return inv.EachInput(inv.Operand(0), func(rec pipe.Record) error {
		b, err := findBundle(root, rec.Name())
		if err != nil {
			return err
		}
		return printChanges(ctx, inv, b)
	})
}

func printChanges(ctx context.Context, inv *cli.Invocation, b *bundle.Bundle) error {
	state, err := b.State()
	if err != nil {
		return err
	}
	mount, err := overlayOf(b, state)
	if err != nil || mount.ReadOnly {
		return err
	}
	lowers, err := openLowers(mount.Lower)
	if err != nil {
		return err
	}
	defer closeLowers(lowers)
	changes := inv.Records().Changes()
	user := slices.Contains(mount.Options, "userxattr")
	err = overlay.Changes(ctx, filepath.Join(b.Dir, mount.Upper), lowers, user, func(c overlay.Change) error {
		return changes.Add(string(c.Kind), c.Path)
	})
	if err != nil {
		return err
	}
	return changes.Print()
}

// overlayOf returns the mount of the rootfs that the bundle remembers.
func overlayOf(b *bundle.Bundle, state *bundle.State) (bundle.Mount, error) {
	for _, m := range state.Mounts {
		if m.Target == bundle.RootfsDir {
			return m, nil
		}
	}
	return bundle.Mount{}, fault.NotFound("bundle %s was not made by %s: its rootfs is no mount", b.Dir, name)
}

// openLowers opens the lowers by their paths; an image file is mounted.
func openLowers(paths []string) ([]overlay.Lower, error) {
	lowers := make([]overlay.Lower, 0, len(paths))
	for _, path := range paths {
		if isDir(path) {
			lowers = append(lowers, overlay.Lower{Path: path})
			continue
		}
		l, err := overlay.OpenErofs(path)
		if err != nil {
			closeLowers(lowers)
			return nil, err
		}
		lowers = append(lowers, l)
	}
	return lowers, nil
}

func closeLowers(lowers []overlay.Lower) {
	for _, l := range lowers {
		if l.Mount != nil {
			l.Mount.Close()
		}
	}
}
