package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
	"github.com/oci-plumbing/oci-plumbing/lib/overlay"
	"github.com/oci-plumbing/oci-plumbing/lib/store"
)

// collect is --gc.
func collect(ctx context.Context, inv *cli.Invocation) error {
	if len(inv.Operands) > 0 {
		return inv.Usage("--gc takes no operand")
	}
	root, err := stateDir(inv)
	if err != nil {
		return err
	}
	if _, many := findIDTools(); many && !privileged() && !inv.DryRun() {
		// The files belong to the caller's subordinate ids.
		return runInside(ctx, inside{Verb: verbCollect, Plan: plan{Root: root}}, commonFlags(inv)...)
	}
	return collectIn(ctx, inv, root)
}

func collectIn(ctx context.Context, inv *cli.Invocation, root string) error {
	c := collector{inv: inv, root: root, steps: inv.Steps(), dry: inv.DryRun()}
	return c.store().Evict(ctx, store.Eviction{
		Begin: c.begin, Needs: c.needs, InUse: c.inUse, Removed: c.removed, Dry: c.dry,
	})
}

type collector struct {
	inv    *cli.Invocation
	root   string
	mounts []overlay.Mounted
	// lowers are the layers of the mounts; blind: of one they are not known.
	lowers map[string]bool
	blind  bool
	steps  *explain.Printer
	dry    bool
}

func (c *collector) store() *store.Store { return store.At(c.root, store.Form{}) }

// begin clears away what killed runs have left, and lists the mounts and their
// layers.
func (c *collector) begin() (err error) {
	if !c.dry {
		if err := bundle.Sweep(filepath.Join(c.root, mountsDir)); err != nil {
			return err
		}
	}
	if c.mounts, err = overlay.AllMounts(); err != nil {
		return err
	}
	c.lowers = make(map[string]bool)
	known := make(map[uint64]bool) // by device: one mount may show at many places
	for _, m := range c.mounts {
		lowers, ok := lowersOf(m)
		for _, lower := range lowers {
			c.lowers[lower] = true
		}
		known[m.Device] = known[m.Device] || ok
	}
	unknown := func(m overlay.Mounted) bool { return !known[m.Device] }
	if !slices.ContainsFunc(c.mounts, unknown) {
		return nil
	}
	now, err := overlay.AllMounts() // without those that have just been undone
	if i := slices.IndexFunc(now, unknown); i >= 0 {
		c.blind = true
		c.inv.Log.Warn("all layers stay: nothing tells which of them are mounted on %s%s", now[i].Target, where(now[i]))
	}
	return err
}

// lowersOf returns the layers of a mount. The kernel does not tell all of
// them, but the bundle does.
func lowersOf(m overlay.Mounted) (lowers []string, ok bool) {
	if !slices.Contains(m.Lowers, "/") {
		return m.Lowers, true
	}
	b := &bundle.Bundle{Dir: filepath.Dir(m.Target)}
	state, err := b.State()
	if err != nil {
		return m.Lowers, false
	}
	mount, err := overlayOf(b, state)
	return append(mount.Lower, m.Lowers...), err == nil
}

// inUse reports whether a layer is part of a mount, whatever became of the
// bundle.
func (c *collector) inUse(path string) bool { return c.blind || c.lowers[path] }

// removed says which layer goes.
func (c *collector) removed(e store.Entry) error {
	if c.steps.Enabled() {
		base := strings.TrimSuffix(e.Path, ".erofs")
		if err := c.steps.Step(explain.Step{
			Action: "remove the cached layer " + e.Digest.String(), Command: "rm -rf -- " + explain.Quote(e.Path, base+".json", base+".lock"),
			Why: "no bundle, no layout and no mount refers to it",
		}); err != nil {
			return err
		}
	}
	if !c.dry {
		c.inv.Log.Note("removed layer %s", e.Digest)
	}
	return nil
}

// needs returns the layers that a bundle or a layout refers to. A bundle that
// nobody named, and that holds nothing of value, is removed on the way.
func (c *collector) needs(ctx context.Context, dir string) ([]store.Key, error) {
	if _, err := os.Lstat(filepath.Join(dir, ispec.ImageLayoutFile)); err == nil {
		keys, err := layoutNeeds(ctx, dir)
		return keys, fault.Hint(err, "no layer is removed meanwhile; mend or remove %s, or let its layers go: rm %s", dir, c.store().Note(dir))
	}
	b := &bundle.Bundle{Dir: dir}
	state, err := b.State()
	if errors.Is(err, fault.ErrNotFound) {
		return nil, c.finish(b) // no longer a bundle
	}
	if err != nil {
		return nil, fault.Hint(err, "no layer is removed meanwhile; delete the bundle: %s --rm %s", name, dir)
	}
	if err := c.tidy(b, state); err != nil {
		return nil, err
	}
	idle, err := c.idle(b, state)
	if err != nil {
		return nil, err
	}
	if idle {
		dropped, err := c.drop(b)
		if err != nil || dropped {
			return nil, err
		}
	}
	diffIDs := make([]digest.Digest, len(state.Layers))
	for i, l := range state.Layers {
		diffIDs[i] = l.DiffID
	}
	return keysOf(diffIDs), nil
}

// finish ends a removal that was cut, of a bundle without a name of the
// user's choice. An empty directory elsewhere may be the user's again.
func (c *collector) finish(b *bundle.Bundle) error {
	if filepath.Dir(b.Dir) != filepath.Join(c.root, mountsDir) || !b.Emptied() || c.dry {
		return nil
	}
	return b.RemoveEmptied()
}

func (c *collector) mounted(b *bundle.Bundle) bool {
	return slices.ContainsFunc(c.mounts, func(m overlay.Mounted) bool { return m.Target == b.Rootfs() })
}

// tidy ends what a run with --size mounted that was killed before it mounted
// the rootfs. It holds nothing yet.
func (c *collector) tidy(b *bundle.Bundle, state *bundle.State) error {
	inner, err := innerMounts(b)
	if err != nil || len(inner) == 0 || c.mounted(b) {
		return err
	}
	if unchanged, err := untouched(b, state); err != nil || !unchanged {
		return err
	}
	lock, err := lockBundle(b)
	if errors.Is(err, fault.ErrTemporary) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := c.steps.Step(explain.Step{
		Action: "unmount what is left in the bundle " + filepath.Base(b.Dir), Command: umountAll(inner),
		Why: "its mounting was cut off",
	}); err != nil || c.dry {
		return err
	}
	return detachInner(b)
}

func umountAll(points []string) string {
	var commands []string
	for _, point := range slices.Backward(points) {
		commands = append(commands, "umount -l "+explain.Quote(point))
	}
	return strings.Join(commands, "\n")
}

// idle reports whether the bundle is one of those without a name of the
// user's choice, is not mounted, and holds no change. The bundle of a chain
// whose process was killed is idle whatever it holds.
func (c *collector) idle(b *bundle.Bundle, state *bundle.State) (bool, error) {
	if filepath.Dir(b.Dir) != filepath.Join(c.root, mountsDir) {
		return false, nil
	}
	if c.mounted(b) {
		return false, nil
	}
	if strings.HasPrefix(filepath.Base(b.Dir), chainPrefix) {
		return true, nil
	}
	return untouched(b, state)
}

// untouched reports whether nobody changed anything in the bundle. What cannot
// be read may hold something.
func untouched(b *bundle.Bundle, state *bundle.State) (bool, error) {
	if _, err := os.Lstat(b.Config()); !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	changes, err := os.ReadDir(filepath.Join(b.Dir, bundle.UpperDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a read-only mount has none
		return false, fmt.Errorf("look for changes: %w", err)
	}
	if len(changes) > 0 {
		return false, nil
	}
	changed, err := rootChanged(b, state)
	return !changed, err
}

// rootChanged reports whether the root directory itself is another than that
// of the image. The topmost layer has its metadata: where that would not be so
// there is a fixup layer. What was in memory is gone.
func rootChanged(b *bundle.Bundle, state *bundle.State) (bool, error) {
	mount, err := overlayOf(b, state)
	inMemory := slices.ContainsFunc(state.Mounts, func(m bundle.Mount) bool { return m.Target == bundle.UpperDir })
	if err != nil || inMemory || mount.ReadOnly || len(mount.Lower) == 0 {
		return false, err
	}
	lowers, err := openLowers(mount.Lower[:1])
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil // for all that can be told
	}
	if err != nil {
		return false, err
	}
	defer closeLowers(lowers)
	user := slices.Contains(mount.Options, "userxattr")
	return overlay.RootChanged(filepath.Join(b.Dir, bundle.UpperDir), lowers[0], user, state.UIDMap, state.GIDMap)
}

// drop removes an idle bundle, unless a process that is about to mount it, or
// runs a program on it, has the lock, or one still has what was unmounted
// lazily.
func (c *collector) drop(b *bundle.Bundle) (bool, error) {
	lock, err := lockBundle(b)
	if errors.Is(err, fault.ErrTemporary) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer lock.Close()
	if used, err := upperInUse(b); err != nil || used {
		return false, err
	}
	if err := c.steps.Step(explain.Step{
		Action: "remove the bundle " + filepath.Base(b.Dir), Command: "rm -rf -- " + explain.Quote(b.Dir),
		Why: "it is not mounted, and nothing was changed in it",
	}); err != nil || c.dry {
		return true, err
	}
	c.inv.Log.Note("removed bundle %s", b.Dir)
	return true, b.Remove()
}

// layoutNeeds reads the diffIDs of every image in the layout. What is no image,
// or is refused as one, has no layers in the cache. A layout that cannot be
// read stops the collection of layers: what it needs is not known.
func layoutNeeds(ctx context.Context, dir string) ([]store.Key, error) {
	l, err := layout.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("look which layers are needed: %w", err)
	}
	manifests, err := l.Manifests(ctx)
	if err != nil {
		return nil, fmt.Errorf("look which layers %s needs: %w", dir, err)
	}
	var keys []store.Key
	for _, desc := range manifests {
		image, err := l.Image(ctx, desc)
		if errors.Is(err, fault.ErrNotFound) || errors.Is(err, fault.ErrRefused) {
			continue // also an index that was copied in part
		}
		if err != nil {
			return nil, fmt.Errorf("look which layers %s needs: %w", dir, err)
		}
		keys = append(keys, keysOf(image.Config.RootFS.DiffIDs)...)
	}
	return keys, nil
}

// keysOf are the layers, and the merged stacks of them.
func keysOf(diffIDs []digest.Digest) []store.Key {
	var keys []store.Key
	for i, diffID := range diffIDs {
		keys = append(keys, store.Key{Kind: store.Layer, Digest: diffID}, store.Key{Kind: store.Chain, Digest: chainID(diffIDs[:i+1])})
	}
	return keys
}
