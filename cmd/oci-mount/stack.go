package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layer"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
	"github.com/oci-plumbing/oci-plumbing/lib/overlay"
	"github.com/oci-plumbing/oci-plumbing/lib/store"
)

// maxLayers are those of an image that are stacked one by one; the fixup
// layer takes one place. What is below is merged into one.
const maxLayers = overlay.MaxLowers - 1

// stack are the layers of an image, ready to be mounted.
type stack struct {
	// own are directories of the bundle, to be stacked on top of the layers.
	own []string
	// layers are those in the store, the topmost first, of which those from
	// hidden on have nothing to show but the metadata of the root.
	layers []overlay.Layer
	hidden int
	// index tells for each of them which layer of the image it is.
	index     []int
	survey    *overlay.Survey
	userXattr bool
	// namespace maps the ids of the layers; nil for no map.
	namespace *os.File
}

// close ends the mounts of layers that are no directories.
func (s *stack) close() {
	for _, l := range s.layers {
		if l.Mount != nil {
			l.Mount.Close()
		}
	}
	if s.namespace != nil {
		s.namespace.Close()
	}
}

// stack brings the layers of the image into the store, and opens them.
func (m *mounter) stack(ctx context.Context, image *layout.Image, source *layout.Layout) (*stack, error) {
	f := filler{mounter: m, source: source, layers: layersOf(image)}
	entries, err := f.fill(ctx)
	if err != nil {
		return nil, err
	}
	s := &stack{userXattr: m.userXattr}
	if err := s.open(ctx, &f, entries); err != nil {
		s.close()
		return nil, err
	}
	if len(m.IDMap) > 0 {
		if s.namespace, err = userNamespace(ctx, m.IDMap); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

// open opens the layers, and merges those that cannot be stacked.
func (s *stack) open(ctx context.Context, f *filler, entries []store.Entry) error {
	dependent := -1
	if len(entries) > maxLayers {
		dependent = len(entries) - maxLayers
	}
	s.hidden = len(entries)
	seen := make(map[string]bool)
	for i, e := range slices.Backward(entries) {
		if seen[e.Path] {
			// The same layer again: all that it holds, and all that it
			// hides, is on top already. The kernel takes no layer twice.
			continue
		}
		seen[e.Path] = true
		l, side, err := openEntry(e)
		if err != nil {
			return err
		}
		s.layers, s.index = append(s.layers, l), append(s.index, i)
		if len(side.LowerLinks) > 0 {
			dependent = max(dependent, i)
		}
		if side.RootOpaque {
			s.hidden = min(s.hidden, len(s.layers))
		}
	}
	survey, err := overlay.NewSurvey(s.layers, s.userXattr)
	if err != nil {
		return err
	}
	if through := survey.ThroughSymlinks(); through >= 0 {
		dependent = max(dependent, s.index[through])
	}
	if dependent >= 0 {
		if err = s.merge(ctx, f, dependent); err == nil {
			survey, err = overlay.NewSurvey(s.layers, s.userXattr)
		}
	}
	s.survey = survey
	s.hidden = min(s.hidden, len(s.layers))
	return err
}

// merge puts one directory in the place of the layers 0 to top. Some of them
// say things about lower layers that no stack of directories can express: a
// hard link to a file below, an entry behind a symlink that is below. Merged
// they are what oci-unpack makes of them.
func (s *stack) merge(ctx context.Context, f *filler, top int) error {
	entry, err := f.fillChain(ctx, top)
	if err != nil {
		return err
	}
	keep := 0
	for keep < len(s.index) && s.index[keep] > top {
		keep++
	}
	for _, l := range s.layers[keep:] {
		if l.Mount != nil {
			l.Mount.Close()
		}
	}
	s.layers = append(s.layers[:keep], overlay.Layer{Lower: overlay.Lower{Path: entry.Path}})
	return nil
}

// openEntry opens a layer of the store with its notes.
func openEntry(e store.Entry) (overlay.Layer, *layer.Sidecar, error) {
	side := new(layer.Sidecar)
	if err := e.Sidecar(side); err != nil {
		return overlay.Layer{}, nil, err
	}
	l := overlay.Layer{
		Lower: overlay.Lower{Path: e.Path}, Implied: side.Implied, Remade: side.Remade,
		WhiteoutDirs: side.WhiteoutDirs, Phantoms: side.Phantoms, Late: side.Late,
	}
	if e.Image {
		var err error
		if l.Lower, err = overlay.OpenErofs(e.Path); err != nil {
			return overlay.Layer{}, nil, err
		}
	}
	return l, side, nil
}

// furnish makes in the staged bundle the fixup layer, and the upper with the
// metadata of the root when upper is not empty. keep leaves the fixup layer
// there even if it mends nothing.
func (s *stack) furnish(staged, final, upper string, keep bool) error {
	if upper == "" && len(s.layers) == 0 {
		// The fixup layer would be the only one.
		if err := os.Mkdir(filepath.Join(staged, emptyDir), 0o755); err != nil {
			return fmt.Errorf("make empty layer: %w", err)
		}
		defer func() { s.own = append(s.own, filepath.Join(final, emptyDir)) }()
	}
	fix := filepath.Join(staged, fixupDir)
	if err := os.Mkdir(fix, 0o700); err != nil {
		return fmt.Errorf("make fixup layer: %w", err)
	}
	needed, err := s.fixup(fix)
	if err != nil {
		return err
	}
	if upper != "" {
		if err := os.Mkdir(upper, 0o700); err != nil {
			return fmt.Errorf("make upper directory: %w", err)
		}
		if err := s.copyRoot(fix, upper); err != nil {
			return err
		}
	}
	if needed || keep {
		s.own = []string{filepath.Join(final, fixupDir)}
		return nil
	}
	if err := os.Remove(fix); err != nil {
		return fmt.Errorf("remove fixup layer: %w", err)
	}
	return nil
}

// fixup fills the directory. An image without layers is an empty root: 0755,
// as old as the epoch, as oci-unpack makes it.
func (s *stack) fixup(dir string) (needed bool, err error) {
	if len(s.layers) > 0 {
		needed, err = s.survey.Fixup(dir)
		if errors.Is(err, unix.EPERM) {
			err = fault.Hint(err, "the file system may hold no whiteouts, such as the overlay of a container; name a BUNDLE on another one")
		}
		return needed, err
	}
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chtimes(dir, time.Unix(0, 0), time.Unix(0, 0))); err != nil {
		return false, fmt.Errorf("make an empty root: %w", err)
	}
	return true, nil
}

// copyRoot gives the upper the metadata that the directory from has, as the
// id map shows it.
func (s *stack) copyRoot(from, upper string) error {
	l := overlay.Lower{Path: from}
	if s.namespace != nil {
		mapped, err := s.mapped(l)
		if err != nil {
			return err
		}
		defer mapped.Mount.Close()
		l = mapped
	}
	return overlay.CopyRoot(upper, l, s.userXattr)
}

// mapped is the layer with mapped ids.
func (s *stack) mapped(l overlay.Lower) (overlay.Lower, error) {
	mapped, err := overlay.Idmapped(l, s.namespace)
	if s.userXattr && errors.Is(err, unix.EPERM) {
		err = mapsForRoot(err)
	}
	return mapped, err
}

func mapsForRoot(err error) error {
	return fault.Hint(err, "--id-map needs root of the host, for whom alone the kernel maps the ids of its file systems; leave it out")
}

// shown are the layers to be mounted.
func (s *stack) shown() []overlay.Layer { return s.layers[:s.hidden] }

// paths are those of the lowers, the topmost first.
func (s *stack) paths() []string {
	paths := slices.Clone(s.own)
	for _, l := range s.shown() {
		paths = append(paths, l.Path)
	}
	return paths
}

// lowers are the layers to be mounted, the topmost first. The caller closes
// those that only the id map needs.
func (s *stack) lowers() (list []overlay.Lower, done func(), err error) {
	for _, dir := range s.own {
		list = append(list, overlay.Lower{Path: dir})
	}
	for _, l := range s.shown() {
		list = append(list, l.Lower)
	}
	if s.namespace == nil {
		return list, func() {}, nil
	}
	var clones []overlay.Lower
	done = func() {
		for _, c := range clones {
			c.Mount.Close()
		}
	}
	for i, l := range list {
		mapped, err := s.mapped(l)
		if err != nil {
			done()
			return nil, nil, err
		}
		clones = append(clones, mapped)
		list[i] = mapped
	}
	return list, done, nil
}

func layersOf(image *layout.Image) []layer.Layer {
	layers := make([]layer.Layer, len(image.Manifest.Layers))
	for i, desc := range image.Manifest.Layers {
		layers[i] = layer.Layer{Descriptor: desc, DiffID: image.Config.RootFS.DiffIDs[i]}
	}
	return layers
}

// chainID names the layers 0 to top as a whole (image-spec config.md).
func chainID(diffIDs []digest.Digest) digest.Digest {
	chain := diffIDs[0]
	for _, next := range diffIDs[1:] {
		chain = digest.FromString(chain.String() + " " + next.String())
	}
	return chain
}
