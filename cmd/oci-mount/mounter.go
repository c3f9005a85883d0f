package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
	"github.com/oci-plumbing/oci-plumbing/lib/overlay"
	"github.com/oci-plumbing/oci-plumbing/lib/pipe"
	"github.com/oci-plumbing/oci-plumbing/lib/store"
)

// fixupDir of a bundle holds the layer that mends what layers left out;
// emptyDir is a second layer for an image without any.
const (
	fixupDir = "fixup"
	emptyDir = "empty"
)

// mounter carries out one plan.
type mounter struct {
	plan
	log   *cli.Log
	steps *explain.Printer
	store *store.Store
	form  store.Form
	// userXattr: the process lives in a user namespace.
	userXattr bool
	// byHand: the steps become a script, and nothing is done.
	byHand bool
	// places are where the steps mount single layers.
	places []string
}

func newMounter(p plan, inv *cli.Invocation) *mounter {
	form := currentForm()
	return &mounter{plan: p, log: inv.Log, steps: inv.Steps(), store: store.At(p.Root, form), form: form, userXattr: form.UserXattr}
}

// mounted is what was made, and how to undo it.
type mounted struct {
	bundle bundle.Bundle
	image  *layout.Image
	// fresh bundles were made by this process.
	fresh bool
}

func (m *mounted) record() pipe.Record {
	return pipe.Record{
		Kind: pipe.KindMount, Path: m.bundle.Rootfs(), Image: m.image.Reference.String(),
		Digest: m.image.Descriptor.Digest.String(), Extra: map[string]any{"bundle": m.bundle.Dir},
	}
}

// undo takes back what this process did, and nothing else.
func (m *mounted) undo() error {
	lock, err := lockBundle(&m.bundle)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := detach(&m.bundle, false); err != nil || !m.fresh {
		return err
	}
	return m.bundle.Remove()
}

// mount fills the cache, makes the bundle and mounts it.
func (m *mounter) mount(ctx context.Context) (*mounted, error) {
	image, source, err := m.resolve(ctx)
	if err != nil {
		return nil, err
	}
	release, err := m.store.Use(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	old, err := m.existing(image)
	if err != nil {
		return nil, err
	}
	if old != nil {
		image = old.image
	}
	if err := m.probe(image, old); err != nil {
		return nil, err
	}
	if err := m.explain(ctx, source, image, old); err != nil {
		return nil, err
	}
	s, err := m.stack(ctx, image, source)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if old != nil {
		return m.again(ctx, old, s)
	}
	return m.first(ctx, image, s)
}

// resolve finds the image and its layout.
func (m *mounter) resolve(ctx context.Context) (*layout.Image, *layout.Layout, error) {
	ref, err := layout.ParseReference(m.Image)
	if err != nil {
		return nil, nil, err
	}
	var platform layout.Platform
	if m.Platform != "" {
		if platform, err = layout.ParsePlatform(m.Platform); err != nil {
			return nil, nil, err
		}
	}
	l, err := layout.Open(ref.Dir)
	if err != nil {
		return nil, nil, err
	}
	image, err := l.Resolve(ctx, ref, platform)
	return image, l, err
}

// existing is a bundle that is there already, and is to be mounted again.
type existing struct {
	bundle.Bundle
	state *bundle.State
	// image is what its mount shows below the upper directory.
	image *layout.Image
}

// own are the directories of the bundle that are stacked on top of the layers.
func (e *existing) own() []string {
	var own []string
	for _, name := range []string{fixupDir, emptyDir} {
		if dir := filepath.Join(e.Dir, name); isDir(dir) {
			own = append(own, dir)
		}
	}
	return own
}

// existing returns the bundle when it is there already and was made from the
// same image, or when this image was committed from it.
func (m *mounter) existing(image *layout.Image) (*existing, error) {
	b := bundle.Bundle{Dir: m.Bundle}
	state, err := b.State()
	if errors.Is(err, fault.ErrNotFound) {
		return nil, nil // bundle.Stage judges what else may be there
	}
	if err != nil {
		return nil, err
	}
	if len(state.Mounts) == 0 {
		return nil, fault.Hint(fmt.Errorf("bundle %s exists, and its rootfs is no mount", b.Dir), "name another directory, or remove it first")
	}
	below := below(image, state)
	if below == nil {
		return nil, fault.Hint(fmt.Errorf("bundle %s is of another image: %s (%s)", b.Dir, state.Reference, state.Manifest.Digest),
			"name another directory, or remove the bundle: oci-mount --rm %s", b.Dir)
	}
	if err := m.takeOver(state); err != nil {
		return nil, err
	}
	return &existing{Bundle: b, state: state, image: below}, nil
}

// below returns what the bundle was made from: the image itself, or the lower
// layers of one that was committed from it, whose others are in the upper
// directory. Of another image it returns nil.
func below(image *layout.Image, state *bundle.State) *layout.Image {
	if state.Manifest.Digest == image.Descriptor.Digest {
		return image
	}
	if state.Committed == nil || state.Committed.Digest != image.Descriptor.Digest || len(state.Layers) > len(image.Manifest.Layers) {
		return nil
	}
	lower := *image
	lower.Manifest.Layers = image.Manifest.Layers[:len(state.Layers)]
	lower.Config.RootFS.DiffIDs = image.Config.RootFS.DiffIDs[:len(state.Layers)]
	for i, l := range state.Layers {
		if l.DiffID != lower.Config.RootFS.DiffIDs[i] {
			return nil
		}
	}
	return &lower
}

// takeOver keeps to what the upper was made with: it holds mapped ids, and
// nothing when it was in memory. What the flags say against that is refused.
func (m *mounter) takeOver(state *bundle.State) error {
	var size int64
	readOnly := false
	for _, mount := range state.Mounts {
		readOnly = readOnly || mount.ReadOnly
		for _, option := range mount.Options {
			if text, ok := strings.CutPrefix(option, "size="); ok && mount.Type == "tmpfs" {
				size, _ = strconv.ParseInt(text, 10, 64)
			}
		}
	}
	switch {
	case m.ReadOnly && !readOnly:
		return m.contradicted("--read-only", "without it")
	case m.Size > 0 && size == 0:
		return m.contradicted("--size", "without it")
	case m.Volatile && readOnly:
		return m.contradicted("--volatile", "with --read-only")
	case len(m.IDMap) > 0 && !m.IDMap.Equal(state.UIDMap):
		return m.contradicted("--id-map", "with other ids")
	}
	m.IDMap, m.ReadOnly = state.UIDMap, readOnly
	if m.Size == 0 {
		m.Size = size
	}
	return nil
}

// contradicted refuses a flag by which a bundle was not made.
func (m *mounter) contradicted(flag, how string) error {
	return fault.Hint(fmt.Errorf("bundle %s cannot be mounted again with %s: it was made %s", m.Bundle, flag, how),
		"leave out %s, name another directory, or start anew: oci-mount --rm %s", flag, m.Bundle)
}

// probe asks the kernel whether an upper can live where the bundle is to be,
// before any layer is extracted. When all layers are there already, the mount
// itself is the question.
func (m *mounter) probe(image *layout.Image, old *existing) error {
	if m.ReadOnly || m.Size > 0 || old != nil || m.complete(image) {
		return nil
	}
	parent := filepath.Dir(m.Bundle)
	if _, err := os.Stat(parent); errors.Is(err, os.ErrNotExist) {
		return fault.Hint(fmt.Errorf("bundle %s: directory %s does not exist", m.Bundle, parent), "make it with: mkdir -p %s", parent)
	}
	// A killed trial is swept with the bundles that killed runs have staged.
	stage, err := bundle.Stage(m.Bundle)
	if err != nil {
		return err
	}
	err = overlay.Probe(stage.Dir, m.userXattr)
	if m.fusePossible(err) {
		err = nil
	}
	return errors.Join(m.unusable(err), stage.Discard())
}

// unusable adds to a refusal of the kernel what can be done about it.
func (m *mounter) unusable(err error) error {
	if m.ReadOnly || !(errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPERM)) {
		return err
	}
	err = fmt.Errorf("bundle %s cannot hold an upper directory: %w", m.Bundle, err)
	return fault.Hint(err, "name a BUNDLE on another file system, or use --size SIZE (changes in memory) or --read-only")
}

// complete reports whether no layer needs to be extracted.
func (m *mounter) complete(image *layout.Image) bool {
	for _, diffID := range image.Config.RootFS.DiffIDs {
		if _, ok, err := m.store.Lookup(store.Key{Kind: store.Layer, Digest: diffID}); err != nil || !ok {
			return false
		}
	}
	return true
}

// first makes the bundle and mounts it. The bundle is whole, but for the
// mount, when it appears; a crash before the mount leaves it as it is after a
// reboot.
func (m *mounter) first(ctx context.Context, image *layout.Image, s *stack) (*mounted, error) {
	stage, err := bundle.Stage(m.Bundle)
	if err != nil {
		return nil, err
	}
	defer func() { _ = stage.Discard() }() // its error would hide the cause
	if err := m.furnish(stage, s); err != nil {
		return nil, fmt.Errorf("bundle %s: %w", m.Bundle, err)
	}
	state := m.state(image, s)
	if err := stage.WriteState(state); err != nil {
		return nil, err
	}
	for _, root := range []string{m.Bundle, image.Reference.Dir} {
		if err := m.store.AddRoot(root); err != nil {
			return nil, err
		}
	}
	if err := stage.PublishSynced(ctx); err != nil {
		return nil, err
	}
	made := &mounted{bundle: bundle.Bundle{Dir: m.Bundle}, image: image, fresh: true}
	lock, err := lockBundle(&made.bundle)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if err := m.attach(ctx, &made.bundle, s); err != nil {
		return nil, errors.Join(m.unusable(err), detach(&made.bundle, false), made.bundle.Remove())
	}
	return made, nil
}

// furnish makes the directories of the bundle.
func (m *mounter) furnish(stage *bundle.Staging, s *stack) error {
	if err := os.Mkdir(stage.Rootfs(), 0o755); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	upper := filepath.Join(stage.Dir, bundle.UpperDir)
	if !m.ReadOnly {
		if err := os.Mkdir(filepath.Join(stage.Dir, bundle.WorkDir), 0o700); err != nil {
			return fmt.Errorf("make directory: %w", err)
		}
	}
	switch {
	case m.ReadOnly:
		// The kernel wants two layers when there is no upper.
		return s.furnish(stage.Dir, m.Bundle, "", len(s.shown()) < 2)
	case m.Size > 0:
		// The true upper is made in the tmpfs, from the fixup layer.
		if err := os.Mkdir(upper, 0o700); err != nil {
			return fmt.Errorf("make directory: %w", err)
		}
		return s.furnish(stage.Dir, m.Bundle, "", true)
	default:
		return s.furnish(stage.Dir, m.Bundle, upper, false)
	}
}

// state is the content of oci-bundle.json.
func (m *mounter) state(image *layout.Image, s *stack) *bundle.State {
	state := &bundle.State{
		Tool: name + " " + cli.Version(), Reference: image.Reference.String(),
		Manifest: image.Descriptor, Config: image.Manifest.Config,
		Platform: &ispec.Platform{OS: image.Platform.OS, Architecture: image.Platform.Architecture, Variant: image.Platform.Variant},
		UIDMap:   m.IDMap, GIDMap: m.IDMap, ImageConfig: image.ConfigRaw,
	}
	for i, desc := range image.Manifest.Layers {
		state.Layers = append(state.Layers, bundle.Layer{Descriptor: desc, DiffID: image.Config.RootFS.DiffIDs[i]})
	}
	state.Mounts = m.mounts(s)
	return state
}

// mounts are those that the bundle gets.
func (m *mounter) mounts(s *stack) []bundle.Mount {
	var mounts []bundle.Mount
	root := bundle.Mount{Target: bundle.RootfsDir, Type: "overlay", Lower: s.paths(), Options: m.options(), ReadOnly: m.ReadOnly}
	if m.Size > 0 {
		mounts = append(mounts,
			bundle.Mount{Target: bundle.WorkDir, Type: "tmpfs", Options: []string{fmt.Sprintf("size=%d", m.Size)}},
			bundle.Mount{Target: bundle.UpperDir, Type: "bind"})
	}
	if !m.ReadOnly {
		root.Upper, root.Work = bundle.UpperDir, bundle.WorkDir
	}
	return append(mounts, root)
}

// stateAgain is the content of oci-bundle.json of a bundle that is mounted
// again: what it tells beside the mounts still holds.
func (m *mounter) stateAgain(old *existing, s *stack) *bundle.State {
	state := *old.state
	state.Tool, state.Mounts = name+" "+cli.Version(), m.mounts(s)
	if state.Manifest.Digest == old.image.Descriptor.Digest {
		state.Reference = old.image.Reference.String() // its layout may have moved
	}
	return &state
}

// options are those of the mount that are not directories.
func (m *mounter) options() []string {
	all := (&overlay.Stack{UserXattr: m.userXattr, Volatile: m.Volatile}).Options()
	return slices.DeleteFunc(all, func(o string) bool { return o == "" })
}
