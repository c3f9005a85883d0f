package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
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
	dir, err := filepath.Abs(word)
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

// listEmptied lists the bundles of the store whose removal was cut so.
func listEmptied(root string) ([]*bundle.Bundle, error) {
	known, err := store.At(root, store.Form{}).Roots()
	if err != nil {
		return nil, err
	}
	private, err := filepath.Glob(filepath.Join(root, mountsDir, "*"))
	if err != nil {
		return nil, fmt.Errorf("list bundles: %w", err)
	}
	var found []*bundle.Bundle
	for _, dir := range private {
		known = appendNew(known, dir)
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
