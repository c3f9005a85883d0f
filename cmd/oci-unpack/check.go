package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/confine"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
	"github.com/oci-plumbing/oci-plumbing/lib/mtree"
	"github.com/oci-plumbing/oci-plumbing/lib/pipe"
)

// checkBundles compares each bundle with the manifest in it.
func checkBundles(ctx context.Context, inv *cli.Invocation) error {
	if len(inv.Operands) > 1 {
		return inv.Usage("unexpected operand %q", inv.Operands[1])
	}
	if err := inv.CheckBeside("check"); err != nil {
		return err
	}
	differ := false
	err := inv.EachInput(inv.Operand(0), func(rec pipe.Record) error {
		path := rec.Path
		if path == "" {
			path = rec.Name()
		}
		diffs, err := checkBundle(ctx, inv, path)
		if err != nil {
			return err
		}
		differ = differ || len(diffs) > 0
		return printDifferences(inv, diffs)
	})
	if err == nil && differ {
		err = fault.Exit(1)
	}
	return err
}

func checkBundle(ctx context.Context, inv *cli.Invocation, path string) ([]mtree.Difference, error) {
	b, err := bundle.Find(path)
	if err != nil {
		return nil, err
	}
	manifest, err := manifestOf(b)
	if err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 {
		return compare(ctx, b.Rootfs(), manifest)
	}
	uids, gids, err := ownersOf(b)
	if err != nil {
		return nil, err
	}
	child := confine.Child{
		Name: programName(), Dir: b.Dir, Stderr: inv.Err, UIDs: uids, GIDs: gids,
		NoWall: func(reason error) { inv.Log.Detail("comparing without a user namespace: %v", reason) },
	}
	var r report
	if err := child.Run(ctx, job{Check: filepath.Base(manifest)}, &r); err != nil {
		return nil, fmt.Errorf("bundle %s: %w", b.Dir, err)
	}
	return r.Differences, nil
}

func compare(ctx context.Context, rootfs, manifest string) ([]mtree.Difference, error) {
	f, err := os.Open(manifest)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return mtree.Compare(ctx, rootfs, f)
}

// ownersOf returns the maps of a bundle whose files belong to subordinate ids.
func ownersOf(b *bundle.Bundle) (uids, gids idmap.Map, err error) {
	state, err := b.State()
	switch {
	case errors.Is(err, fault.ErrNotFound):
		return nil, nil, nil
	case err != nil:
		return nil, nil, err
	}
	return state.UIDMap, state.GIDMap, nil
}

// manifestOf finds the manifest of the image that the bundle is at now: the one
// that umoci repack --refresh-bundle has gone on to, or the one that the state
// names. In a bundle of another tool it is the only one there is.
func manifestOf(b *bundle.Bundle) (string, error) {
	umoci, err := b.Umoci()
	if err != nil {
		return "", err
	}
	state, err := b.State()
	if err != nil && !errors.Is(err, fault.ErrNotFound) {
		return "", err
	}
	switch {
	case umoci != nil && (state == nil || umoci.Manifest().Digest != state.Manifest.Digest):
		return filepath.Join(b.Dir, bundle.MtreeName(umoci.Manifest())), nil
	case state != nil && state.Mtree != "" && filepath.Base(state.Mtree) == state.Mtree:
		return filepath.Join(b.Dir, state.Mtree), nil
	}
	found, err := filepath.Glob(filepath.Join(quoteGlob(b.Dir), "sha*_*.mtree"))
	if err != nil || len(found) != 1 {
		return "", fault.Hint(fault.NotFound("bundle %s has no mtree manifest", b.Dir), "oci-unpack makes one, unless --no-mtree is given")
	}
	return found[0], nil
}

func quoteGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(s)
}

// printDifferences prints a line for each file that differs: what happened,
// the path as a quoted string where it needs one, and the keywords.
func printDifferences(inv *cli.Invocation, diffs []mtree.Difference) error {
	for _, d := range diffs {
		if inv.Bool("json") {
			line, err := json.Marshal(d)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(inv.Out, "%s\n", line); err != nil {
				return err
			}
			continue
		}
		var what []string
		for _, k := range d.Keywords {
			what = append(what, fmt.Sprintf(" %s: %s, not %s", k.Name, k.Got, k.Want))
		}
		if _, err := fmt.Fprintf(inv.Out, "%s %s%s\n", d.Kind, readable(d.Path), strings.Join(what, ";")); err != nil {
			return err
		}
	}
	return nil
}

// readable quotes a path that could be taken for something else.
func readable(path string) string {
	quoted := fmt.Sprintf("%q", path)
	if quoted == `"`+path+`"` && !strings.Contains(path, " ") {
		return path
	}
	return quoted
}
