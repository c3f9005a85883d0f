package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/overlay"
	"github.com/oci-plumbing/oci-plumbing/lib/pipe"
	"github.com/oci-plumbing/oci-plumbing/lib/store"
)

// undo is -u and --rm.
func undo(ctx context.Context, inv *cli.Invocation) error {
	root, err := stateDir(inv)
	if err != nil {
		return err
	}
	u := undoer{inv: inv, root: root, remove: inv.Bool("rm"), steps: inv.Steps()}
	if inv.Bool("all") {
		if len(inv.Operands) > 0 {
			return inv.Usage("--all takes no PATH or ID")
		}
		return u.all(ctx)
	}
	if len(inv.Operands) == 0 || inv.Operand(0) == "-" {
		return inv.EachInput(inv.Operand(0), func(rec pipe.Record) error { return u.one(ctx, rec.Name()) })
	}
	var errs []error
	for _, word := range inv.Operands {
		errs = append(errs, u.one(ctx, word))
	}
	return fault.Several(errs...)
}

type undoer struct {
	inv    *cli.Invocation
	root   string
	remove bool
	steps  *explain.Printer
}

// one undoes the bundle that word names.
func (u *undoer) one(ctx context.Context, word string) error {
	if u.remove {
		if b, err := findEmptied(u.root, word); err != nil || b != nil {
			return errors.Join(err, u.emptied(b))
		}
	}
	b, err := findBundle(u.root, word)
	if err != nil {
		return err
	}
	return u.bundle(ctx, b)
}

func (u *undoer) bundle(ctx context.Context, b *bundle.Bundle) error {
	state, err := u.state(b)
	if err != nil {
		return err
	}
	if len(state.Mounts) == 0 {
		return fault.Hint(fault.NotFound("bundle %s was not made by %s", b.Dir, name), "remove a bundle of oci-unpack with: rm -r %s", b.Dir)
	}
	if err := u.explain(b, state); err != nil || u.inv.DryRun() {
		return err
	}
	lock, err := lockBundle(b)
	if err != nil {
		return err
	}
	defer lock.Close()
	here, err := u.check(b)
	if err != nil {
		return err
	}
	if err := detach(b, u.inv.Bool("lazy")); err != nil {
		return err
	}
	if !u.remove {
		return nil
	}
	if !u.inv.Bool("lazy") && !here {
		if err := waitUnused(b); err != nil {
			return fault.Hint(err, "--lazy deletes it all the same")
		}
	}
	return removeBundle(ctx, b, u.root)
}

// state reads oci-bundle.json. One that is damaged or gone keeps nobody from
// undoing a bundle that is known from elsewhere.
func (u *undoer) state(b *bundle.Bundle) (*bundle.State, error) {
	state, err := b.State()
	if !errors.Is(err, fault.ErrRefused) && !errors.Is(err, fault.ErrNotFound) {
		return state, err
	}
	known, knownErr := u.knows(b)
	if knownErr != nil || !known {
		return nil, errors.Join(fault.Hint(err, "remove what no tool made with: rm -r %s", b.Dir), knownErr)
	}
	return &bundle.State{Mounts: []bundle.Mount{{Target: bundle.RootfsDir, Type: "overlay"}}}, nil
}

// knows reports whether the list of mounts, or the store, tells that the
// bundle was made by this program.
func (u *undoer) knows(b *bundle.Bundle) (bool, error) {
	if filepath.Dir(b.Dir) == filepath.Join(u.root, mountsDir) {
		return true, nil
	}
	if m, err := overlay.At(b.Rootfs()); err != nil || m != nil {
		return m != nil && m.Source == overlay.Source, err
	}
	noted, err := store.At(u.root, store.Form{}).Roots()
	return slices.Contains(noted, b.Dir), err
}

// check refuses to unmount what is not mounted here, and to delete what is in
// use: by a process in the mount, or by one that made a mount of its own.
//
// What is mounted here was not unmounted lazily before: what else the kernel has
// of it are the copies that other mount namespaces were born with, of which no
// list shows all. When nobody is in them they keep nobody from anything.
func (u *undoer) check(b *bundle.Bundle) (here bool, err error) {
	mounts, err := mountsOf(b)
	if err != nil {
		return false, err
	}
	inner, err := innerMounts(b)
	if err != nil {
		return false, err
	}
	here = len(mounts) > 0 && mounts[0].Namespace == ""
	if !here && len(inner) == 0 && !u.remove {
		err := fault.NotFound("bundle %s is not mounted", b.Dir)
		if len(mounts) > 0 {
			err = fault.Hint(err, "it is mounted%s only, and ends with it", where(mounts[0]))
		}
		return false, err
	}
	if len(mounts) == 0 || u.inv.Bool("lazy") || !u.remove {
		return here, nil
	}
	users, err := overlay.Users(mounts[0])
	if err != nil {
		return false, err
	}
	if len(users) > 0 {
		return false, busy(mounts[0], fmt.Errorf("delete bundle %s: %w", b.Dir, unix.EBUSY))
	}
	return here, nil
}

// all undoes every bundle of the state directory that is mounted here, and
// with --rm also those in it that are not.
func (u *undoer) all(ctx context.Context) error {
	bundles, err := u.mounted()
	if err != nil {
		return err
	}
	if u.remove {
		private, err := privateBundles(u.root)
		if err != nil {
			return err
		}
		for _, b := range private {
			if hasState(b) {
				bundles = appendNew(bundles, b.Dir)
			}
		}
	}
	var errs []error
	if u.remove {
		errs = append(errs, u.leftovers())
	}
	for _, dir := range bundles {
		errs = append(errs, u.bundle(ctx, &bundle.Bundle{Dir: dir}))
	}
	return fault.Several(errs...)
}

// leftovers removes what is no bundle yet, or no longer one.
func (u *undoer) leftovers() error {
	var errs []error
	if !u.inv.DryRun() {
		errs = append(errs, bundle.Sweep(filepath.Join(u.root, mountsDir)))
	}
	cut, err := listEmptied(u.root)
	errs = append(errs, err)
	for _, b := range cut {
		errs = append(errs, u.emptied(b))
	}
	return errors.Join(errs...)
}

// mounted lists the bundles with layers of this state directory that are
// mounted in this namespace.
func (u *undoer) mounted() ([]string, error) {
	mounts, err := overlay.Mounts()
	if err != nil {
		return nil, err
	}
	ours, err := store.At(u.root, store.Form{}).Roots()
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, m := range mounts {
		dir, base := filepath.Split(m.Target)
		if dir = filepath.Clean(dir); base == bundle.RootfsDir && slices.Contains(ours, dir) {
			dirs = appendNew(dirs, dir)
		}
	}
	points, err := overlay.MountPoints()
	if err != nil {
		return nil, err
	}
	for _, point := range points {
		if dir := filepath.Dir(point); isInner(point) && slices.Contains(ours, dir) {
			dirs = appendNew(dirs, dir)
		}
	}
	return dirs, nil
}

func appendNew(list []string, word string) []string {
	if slices.Contains(list, word) {
		return list
	}
	return append(list, word)
}

// explain prints the commands a person would type.
func (u *undoer) explain(b *bundle.Bundle, state *bundle.State) error {
	lazy := ""
	if u.inv.Bool("lazy") {
		lazy = "-l "
	}
	var commands []string
	for _, m := range slices.Backward(state.Mounts) {
		commands = append(commands, "umount "+lazy+explain.Quote(filepath.Join(b.Dir, m.Target)))
	}
	err := u.steps.Step(explain.Step{
		Action: "unmount the root file system", Command: strings.Join(commands, "\n"),
		Why: "what was changed stays in " + bundle.UpperDir, Ref: "umount(8)",
	})
	if err == nil && u.remove {
		err = u.steps.Step(explain.Step{
			Action: "delete the bundle", Command: "rm -r -- " + explain.Quote(b.Dir), Why: "the layers stay in the cache",
		})
	}
	return err
}

// mountsOf lists the mounts of the bundle, in other namespaces, too.
func mountsOf(b *bundle.Bundle) ([]overlay.Mounted, error) {
	all, err := overlay.AllMounts()
	if err != nil {
		return nil, err
	}
	var mounts []overlay.Mounted
	for _, m := range all {
		if m.Target == b.Rootfs() {
			mounts = append(mounts, m)
		}
	}
	return mounts, nil
}

func where(m overlay.Mounted) string {
	if m.Namespace == "" {
		return ""
	}
	return " in the namespace " + m.Namespace + " of another process"
}

// findBundle takes the path of a bundle or of something in it, or the ID of
// one below the state directory.
func findBundle(root, word string) (*bundle.Bundle, error) {
	if !strings.Contains(word, "/") && word != "." && word != ".." {
		b := &bundle.Bundle{Dir: filepath.Join(root, mountsDir, word)}
		if isDir(b.Dir) {
			return b, nil
		}
	}
	b, err := bundle.Find(word)
	if errors.Is(err, fault.ErrNotFound) {
		return nil, fault.Hint(fault.NotFound("%q is neither a bundle nor the ID of one below %s", word, filepath.Join(root, mountsDir)),
			"see what is there: %s --list --all", name)
	}
	if err != nil {
		return nil, err
	}
	b.Dir, err = realPath(b.Dir)
	return b, err
}

// detach takes the mounts off the bundle: those that are there, in any order
// of crashes before.
func detach(b *bundle.Bundle, lazy bool) error {
	m, err := overlay.At(b.Rootfs())
	if err != nil {
		return err
	}
	if m != nil {
		err := overlay.Unmount(m.Target, lazy)
		if errors.Is(err, unix.EBUSY) {
			return busy(*m, err)
		}
		if err != nil {
			return err
		}
		if m.Volatile {
			if err := settle(b); err != nil {
				return err
			}
		}
	}
	return detachInner(b)
}

// detachInner ends the tmpfs of --size, and its upper's other place: as many as
// killed runs have left.
func detachInner(b *bundle.Bundle) error {
	inner, err := innerMounts(b)
	if err != nil {
		return err
	}
	for _, point := range slices.Backward(inner) {
		if err := overlay.Unmount(point, true); err != nil {
			return err
		}
	}
	return nil
}

// innerMounts lists what is mounted in the bundle beside its rootfs, the oldest
// first; more than once what is mounted on itself.
func innerMounts(b *bundle.Bundle) ([]string, error) {
	points, err := overlay.MountPoints()
	return slices.DeleteFunc(points, func(p string) bool { return filepath.Dir(p) != b.Dir || !isInner(p) }), err
}

func isInner(point string) bool {
	base := filepath.Base(point)
	return base == bundle.UpperDir || base == bundle.WorkDir
}

// settle syncs the upper of a volatile mount after all, and takes away the
// mark by which the kernel would refuse it.
func settle(b *bundle.Bundle) error {
	dir, err := os.Open(b.Dir)
	if err != nil {
		return fmt.Errorf("sync bundle: %w", err)
	}
	defer dir.Close()
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		return fmt.Errorf("sync bundle %s: %w", b.Dir, err)
	}
	return bundle.RemoveAll(filepath.Join(b.Dir, bundle.WorkDir, dirtyMark))
}

// busy names who holds the mount.
func busy(m overlay.Mounted, err error) error {
	points, listErr := overlay.MountPoints()
	for _, point := range slices.Backward(points) {
		if strings.HasPrefix(point, m.Target+"/") {
			return fault.Hint(err, "something is mounted in it: umount %s", explain.Quote(point))
		}
	}
	users, usersErr := overlay.Users(m)
	if listErr != nil || usersErr != nil || len(users) == 0 {
		return fault.Hint(err, "something has a file open there; --lazy takes the mount out of sight at once")
	}
	return fault.Hint(err, "used by process %s; --lazy takes the mount out of sight at once", joinInts(users))
}

func joinInts(numbers []int) string {
	words := make([]string, len(numbers))
	for i, n := range numbers {
		words[i] = fmt.Sprint(n)
	}
	return strings.Join(words, ", ")
}

// removeBundle deletes a bundle that is not mounted. Files of an ordinary
// user's subordinate ids can only be deleted in the namespace that has them.
func removeBundle(ctx context.Context, b *bundle.Bundle, root string) error {
	err := b.Remove()
	if err == nil || privileged() || !(errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)) {
		return err
	}
	return runInside(ctx, inside{Verb: verbRemove, Plan: plan{Root: root, Bundle: b.Dir}})
}
