package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/oci-plumbing/oci-plumbing/lib/changeset"
	"github.com/oci-plumbing/oci-plumbing/lib/config"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
)

// draft is the new image while it is made.
type draft struct {
	commit   *commit
	parent   *parent // nil from scratch
	image    *config.Image
	manifest *config.Manifest
	encoding changeset.Encoding
	docker   bool // the parent's family of media types
	added    []ispec.Descriptor
	layers   []layerOf // of the finished image, lowest first
	edited   bool
	raw      []byte // the finished config
	final    *ispec.Image
	config   ispec.Descriptor
}

// layerOf is a layer of the image and its diffID.
type layerOf struct {
	desc   ispec.Descriptor
	diffID string
}

// newDraft begins with the parent's documents and makes all edits of the
// config, so that a mistake in them shows before any work is done.
func newDraft(c *commit, s *source, p *parent) (*draft, error) {
	d := &draft{commit: c, parent: p}
	var err error
	if p == nil {
		err = d.fromScratch()
	} else {
		err = d.fromParent()
	}
	if err != nil {
		return nil, err
	}
	last := ""
	if n := len(d.layers); n > 0 {
		last = d.layers[n-1].desc.MediaType
	}
	if d.encoding, err = encodingOf(c.inv, last); err != nil {
		return nil, err
	}
	if err := d.edit(); err != nil {
		return nil, err
	}
	if c.inv.Bool("squash") && s.kind != kindUpper && s.kind != kindRootfs {
		return nil, c.inv.Usage("--squash needs a bundle, whose rootfs becomes the layer")
	}
	return d, nil
}

func (d *draft) fromScratch() error {
	p := layout.HostPlatform()
	var err error
	d.manifest = config.NewManifest()
	d.image, err = config.NewImage(p.OS, p.Architecture, p.Variant)
	d.edited = true
	return err
}

func (d *draft) fromParent() error {
	img := d.parent.image
	d.docker = img.Descriptor.MediaType == layout.DockerManifest
	for i, desc := range img.Manifest.Layers {
		d.layers = append(d.layers, layerOf{desc, img.Config.RootFS.DiffIDs[i].String()})
	}
	var err error
	if d.manifest, err = config.ParseManifest(img.ManifestRaw); err != nil {
		return err
	}
	d.image, err = config.ParseImage(img.ConfigRaw)
	return err
}

// edit applies the options to config and manifest.
func (d *draft) edit() error {
	c := d.commit
	if c.platform != (layout.Platform{}) {
		d.edited = true
		if err := d.image.SetPlatform(c.platform.OS, c.platform.Architecture, c.platform.Variant); err != nil {
			return err
		}
	}
	if !c.edits.Empty() || c.inv.IsSet("created") {
		d.edited = true
	}
	if err := d.applyEdits(); err != nil {
		return err
	}
	for _, word := range c.inv.StringSlice("clear") {
		key, ok := annotationToClear(word)
		if !ok {
			continue
		}
		if err := d.manifest.ClearAnnotation(key); err != nil {
			return err
		}
	}
	if len(c.annotations) == 0 {
		return nil
	}
	return d.manifest.Annotate(c.annotations)
}

// applyEdits edits the config, which must stay one of an image with the layers
// that there are: readers refuse the image else, and with it the tag.
func (d *draft) applyEdits() error {
	edits := d.commit.edits
	if edits.Empty() {
		return nil
	}
	was, err := d.decode()
	if err != nil {
		return err
	}
	if err := d.image.Apply(edits); err != nil {
		return err
	}
	is, err := d.decode()
	switch {
	case err != nil:
		return fmt.Errorf("the edited config: %w", err)
	case !slices.Equal(is.RootFS.DiffIDs, was.RootFS.DiffIDs):
		return fault.Refused("the edited config has other diff_ids than the image has layers")
	case is.OS == "" && was.OS != "", is.Architecture == "" && was.Architecture != "":
		return fault.Refused("the edited config has no os or no architecture")
	case layersTold(is) > len(d.layers) && layersTold(is) > layersTold(was):
		return fault.Hint(fault.Refused("the edited history tells of %d layers, and the image has %d", layersTold(is), len(d.layers)),
			`mark entries without a layer with "empty_layer": true`)
	default:
		return nil
	}
}

// decode reads the config as it is now as others will read it.
func (d *draft) decode() (*ispec.Image, error) {
	raw, err := d.image.Encode()
	if err != nil {
		return nil, err
	}
	return layout.DecodeConfig(raw, d.descriptors())
}

// layersTold is how many layers the history tells of.
func layersTold(img *ispec.Image) int {
	told := 0
	for _, h := range img.History {
		if !h.EmptyLayer {
			told++
		}
	}
	return told
}

// volumes are the parent's: what lies there is not the image's.
func (d *draft) volumes() []string {
	if d.parent == nil {
		return nil
	}
	return slices.Collect(maps.Keys(d.parent.image.Config.Config.Volumes))
}

func (d *draft) workingDir() string {
	if d.parent == nil {
		return ""
	}
	return d.parent.image.Config.Config.WorkingDir
}

// addLayers stores the new layers: what changed, and then the ready archives.
func (d *draft) addLayers(ctx context.Context, l *layout.Layout, s *source, tree *changeset.Tree) error {
	c := d.commit
	if c.inv.Bool("squash") {
		d.manifest.DropLayers()
		d.layers, d.edited = nil, true
		if err := d.image.DropLayers(); err != nil {
			return err
		}
	}
	group, gctx := errgroup.WithContext(ctx)
	if d.parent != nil {
		kept := d.descriptors()
		group.Go(func() error { return d.parent.copyBlobs(gctx, l, kept) })
	}
	if tree != nil && (!tree.Empty() || c.inv.Bool("squash")) {
		opt := changeset.WriteOptions{Epoch: c.epoch, UIDMap: s.uidMap, GIDMap: s.gidMap, Rootless: s.rootless, Devices: s.devices()}
		group.Go(func() error {
			return d.addLayer(gctx, l, func(out io.Writer) error { return tree.WriteTar(gctx, out, opt) })
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	archives := c.inv.StringSlice("layer")
	if s.kind == kindTar {
		archives = append([]string{s.path}, archives...)
	}
	for _, word := range archives {
		if err := d.addArchive(ctx, l, word); err != nil {
			return fmt.Errorf("layer %s: %w", word, err)
		}
	}
	return nil
}

func (d *draft) descriptors() []ispec.Descriptor {
	list := make([]ispec.Descriptor, len(d.layers))
	for i, l := range d.layers {
		list[i] = l.desc
	}
	return list
}

// addArchive adds a ready tar.
func (d *draft) addArchive(ctx context.Context, l *layout.Layout, word string) error {
	in := d.commit.inv.Input()
	if word != "-" {
		f, err := os.Open(word)
		if err != nil {
			return fault.As(fault.ErrNotFound, err)
		}
		defer f.Close()
		if info, err := f.Stat(); err != nil || info.IsDir() {
			return errors.Join(fault.Refused("%s is not an archive", word), err)
		}
		in = f
	}
	return d.addLayer(ctx, l, func(out io.Writer) error { return changeset.CopyTar(ctx, out, in) })
}

func (d *draft) addLayer(ctx context.Context, l *layout.Layout, write func(io.Writer) error) error {
	blob, err := l.NewBlob(ctx)
	if err != nil {
		return err
	}
	diffID, _, err := d.encoding.Encode(ctx, blob, write)
	if err != nil {
		return errors.Join(err, blob.Cancel())
	}
	desc, err := blob.Commit(ctx, d.encoding.Compression.MediaType(d.docker))
	if err != nil {
		return err
	}
	if err := d.manifest.AddLayer(desc); err != nil {
		return err
	}
	d.added = append(d.added, desc)
	d.layers = append(d.layers, layerOf{desc, diffID.String()})
	if err := d.image.AddLayer(diffID); err != nil {
		return err
	}
	return d.history(false)
}

// history tells of a layer, or that there is none.
func (d *draft) history(empty bool) error {
	inv := d.commit.inv
	if inv.Bool("no-history") {
		return nil
	}
	by := inv.String("history")
	if by == "" {
		by = name
	}
	d.edited = true
	return d.image.AddHistory(config.History{
		Created: d.commit.created, CreatedBy: by, Author: inv.String("author"),
		Comment: inv.String("comment"), EmptyLayer: empty,
	})
}

// store writes config and manifest. Documents that did not change are the
// parent's own, to the byte.
func (d *draft) store(ctx context.Context, l *layout.Layout) (ispec.Descriptor, error) {
	if len(d.added) == 0 {
		if err := d.history(true); err != nil {
			return ispec.Descriptor{}, err
		}
	}
	if err := d.storeConfig(ctx, l); err != nil {
		return ispec.Descriptor{}, err
	}
	raw, err := d.encodeManifest()
	if err != nil {
		return ispec.Descriptor{}, err
	}
	mediaType := ispec.MediaTypeImageManifest
	if d.docker {
		mediaType = layout.DockerManifest
	}
	desc, err := l.PutBytes(ctx, mediaType, raw)
	if err != nil {
		return ispec.Descriptor{}, err
	}
	desc.Platform = d.indexPlatform()
	return desc, nil
}

func (d *draft) encodeManifest() ([]byte, error) {
	c := d.commit
	same := d.parent != nil && len(d.added) == 0 && !c.inv.Bool("squash") &&
		d.config.Digest == d.parent.image.Manifest.Config.Digest && len(c.annotations) == 0 &&
		!slices.ContainsFunc(c.inv.StringSlice("clear"), func(w string) bool { _, ok := annotationToClear(w); return ok })
	if same {
		return d.parent.image.ManifestRaw, nil
	}
	if err := d.manifest.SetConfig(d.config); err != nil {
		return nil, err
	}
	return d.manifest.Encode()
}

func (d *draft) storeConfig(ctx context.Context, l *layout.Layout) error {
	mediaType := ispec.MediaTypeImageConfig
	if d.parent != nil {
		mediaType = d.parent.image.Manifest.Config.MediaType
		d.raw = d.parent.image.ConfigRaw
	}
	if d.edited || len(d.added) > 0 {
		if err := d.image.SetCreated(d.commit.created); err != nil {
			return err
		}
		var err error
		if d.raw, err = d.image.Encode(); err != nil {
			return err
		}
	}
	if len(d.raw) > layout.MaxDocument {
		return fault.Refused("the image config would have %d bytes, more than %d", len(d.raw), layout.MaxDocument)
	}
	var err error
	if d.final, err = layout.DecodeConfig(d.raw, d.descriptors()); err != nil {
		return fmt.Errorf("the new image: %w", err)
	}
	d.config, err = l.PutBytes(ctx, mediaType, d.raw)
	return err
}

// indexPlatform is what index.json tells of the image: it keeps telling it,
// and tells what --platform sets.
func (d *draft) indexPlatform() *ispec.Platform {
	p := d.commit.platform
	if strings.TrimSpace(p.OS) != "" {
		return &ispec.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant}
	}
	if d.parent == nil {
		return nil
	}
	return d.parent.image.Descriptor.Platform
}
