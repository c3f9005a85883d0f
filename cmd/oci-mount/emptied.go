package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/durable"
	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/store"
)

// findEmptied returns the bundle that word names when its removal was cut
// before the last step, or nil. An empty directory is no bundle by itself: the
// store must remember it as one.
func findEmptied(root, word string) (*bundle.Bundle, error) {
	if !strings.Contains(word, "/") {
		b := &bundle.Bundle{Dir: filepath.Join(root, mountsDir, word)}
		if word != "." && word != ".." && b.Emptied() {
			return b, nil
		}
	}
	dir, err := realPath(word)
	if err != nil {
		return nil, fmt.Errorf("find bundle: %w", err)
	}
	if filepath.Base(dir) == bundle.RootfsDir {
		dir = filepath.Dir(dir)
	}
	b := &bundle.Bundle{Dir: dir}
	if !b.Emptied() {
		return nil, nil
	}
	known, err := store.At(root, store.Form{}).Roots()
	if err != nil || !slices.Contains(known, dir) {
		return nil, err
	}
	return b, nil
}

// privateBundles lists the bundles without a name of the user's choice, and
// what is left of those whose removal was cut.
func privateBundles(root string) ([]*bundle.Bundle, error) {
	entries, err := os.ReadDir(filepath.Join(root, mountsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list bundles: %w", err)
	}
	var found []*bundle.Bundle
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), durable.TempPrefix) {
			found = append(found, &bundle.Bundle{Dir: filepath.Join(root, mountsDir, e.Name())})
		}
	}
	return found, nil
}

// hasState reports whether the bundle is whole.
func hasState(b *bundle.Bundle) bool {
	_, err := os.Lstat(filepath.Join(b.Dir, bundle.StateFile))
	return err == nil
}

// listEmptied lists the bundles of the store whose removal was cut so.
func listEmptied(root string) ([]*bundle.Bundle, error) {
	known, err := store.At(root, store.Form{}).Roots()
	if err != nil {
		return nil, err
	}
	private, err := privateBundles(root)
	if err != nil {
		return nil, err
	}
	var found []*bundle.Bundle
	for _, b := range private {
		known = appendNew(known, b.Dir)
	}
	for _, dir := range known {
		if b := (&bundle.Bundle{Dir: dir}); b.Emptied() {
			found = append(found, b)
		}
	}
	return found, nil
}

// emptied takes the last step of a removal that was cut.
func (u *undoer) emptied(b *bundle.Bundle) error {
	if b == nil {
		return nil
	}
	err := u.steps.Step(explain.Step{
		Action: "delete what is left of the bundle", Command: "rmdir -- " + explain.Quote(b.Dir), Why: "its removal was cut off",
	})
	if err != nil || u.inv.DryRun() {
		return err
	}
	return b.RemoveEmptied()
}
