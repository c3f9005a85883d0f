package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/confine"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
	"github.com/oci-plumbing/oci-plumbing/lib/layer"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
	"github.com/oci-plumbing/oci-plumbing/lib/pipe"
)

// plan is what the flags and one record ask for.
type plan struct {
	// From the flags.
	platform   layout.Platform
	bundle     string // "" for a name after the image
	rootfsOnly bool
	existing   bool
	tar        string
	mtree      bool
	oneLayer   string
	options    options
	ahead      *confine.Ahead

	// From the record.
	layout *layout.Layout
	image  *layout.Image
	layers []layer.Layer
}

// options are those of lib/layer that travel to the confined process.
type options struct {
	UIDMap        idmap.Map `json:"uidMap,omitempty"`
	GIDMap        idmap.Map `json:"gidMap,omitempty"`
	Rootless      bool      `json:"rootless,omitempty"`
	NoDevices     bool      `json:"noDevices,omitempty"`
	KeepDirlinks  bool      `json:"keepDirlinks,omitempty"`
	Sniff         bool      `json:"sniff,omitempty"`
	Existing      bool      `json:"existing,omitempty"`
	Digests       bool      `json:"digests,omitempty"`
	BottomUp      bool      `json:"bottomUp,omitempty"`
	MaxLayerBytes int64     `json:"maxLayerBytes,omitempty"`
}

func (o options) forLayers() layer.Options {
	return layer.Options{
		UIDMap: o.UIDMap, GIDMap: o.GIDMap, Rootless: o.Rootless, NoDevices: o.NoDevices, KeepDirlinks: o.KeepDirlinks,
		Sniff: o.Sniff, Existing: o.Existing, Digests: o.Digests, BottomUp: o.BottomUp, MaxLayerBytes: o.MaxLayerBytes,
	}
}

func newPlan(inv *cli.Invocation) (plan, error) {
	p := plan{
		platform: layout.HostPlatform(), bundle: inv.Operand(1), existing: inv.Bool("into-existing"),
		tar: inv.String("tar"), mtree: !inv.Bool("no-mtree"), oneLayer: inv.String("layer"),
		options: options{
			Rootless: inv.Bool("rootless"), KeepDirlinks: inv.Bool("keep-dirlinks"), Sniff: inv.Bool("sniff"),
			Existing: inv.Bool("into-existing"), BottomUp: inv.Bool("bottom-up"), MaxLayerBytes: inv.Int64("max-layer-size"),
		},
	}
	if cli.NamesStdout(p.tar) {
		p.tar = "-"
	}
	if err := p.checkFlags(inv); err != nil {
		return p, err
	}
	if inv.IsSet("platform") {
		platform, err := layout.ParsePlatform(inv.String("platform"))
		if err != nil {
			return p, err
		}
		p.platform = platform
	}
	if dir := inv.String("rootfs-only"); dir != "" {
		p.bundle, p.rootfsOnly, p.mtree = dir, true, false
	}
	p.options.Digests = p.mtree
	return p, p.setOwners(inv)
}

// checkFlags refuses flags that do not go together.
func (p *plan) checkFlags(inv *cli.Invocation) error {
	for _, flag := range []string{"rootfs-only", "tar", "layer", "platform"} {
		if inv.IsSet(flag) && inv.String(flag) == "" {
			return inv.Usage("--%s is empty", flag)
		}
	}
	rootfs := inv.String("rootfs-only") != ""
	switch {
	case rootfs && p.bundle != "":
		return inv.Usage("--rootfs-only and the operand BUNDLE exclude each other")
	case p.tar != "" && (rootfs || p.bundle != ""):
		return inv.Usage("--tar makes no directory: leave out %s", map[bool]string{true: "--rootfs-only", false: "BUNDLE"}[rootfs])
	case p.tar != "" && p.options.Rootless:
		return inv.Usage("--rootless does not go with --tar: an archive holds the owners of the image")
	case p.existing && !rootfs:
		return inv.Usage("--into-existing goes with --rootfs-only")
	case p.oneLayer != "" && !rootfs && p.tar == "":
		return inv.Usage("--layer goes with --rootfs-only or --tar: one layer makes no bundle")
	case p.options.MaxLayerBytes <= 0:
		return inv.Usage("--max-layer-size is not positive")
	case !slices.Contains([]string{"auto", "json", "never"}, inv.String("progress")):
		return inv.Usage("--progress %q is neither auto nor json nor never", inv.String("progress"))
	}
	return nil
}

// setOwners takes the id maps. Without root and without maps nothing can be
// owned but by the caller.
func (p *plan) setOwners(inv *cli.Invocation) (err error) {
	o := &p.options
	if o.UIDMap, err = idmap.Parse(inv.StringSlice("uid-map")); err != nil {
		return err
	}
	if o.GIDMap, err = idmap.Parse(inv.StringSlice("gid-map")); err != nil {
		return err
	}
	mapped := len(o.UIDMap) > 0 || len(o.GIDMap) > 0
	if o.Rootless && mapped {
		return inv.Usage("--rootless and id maps exclude each other")
	}
	if os.Geteuid() != 0 && !mapped && p.tar == "" {
		o.Rootless = true
	}
	o.NoDevices = os.Geteuid() != 0 && p.tar == "" // an archive holds what no disk of the user can
	return nil
}

// setImage finds the image that the record names.
func (p *plan) setImage(ctx context.Context, rec pipe.Record) error {
	image := rec.Image
	if image == "" {
		image = rec.Name() // an absolute path looks like a bundle's
	}
	ref, err := layout.ParseReference(image)
	if err != nil {
		return err
	}
	if !p.rootfsOnly && p.tar == "" && !utf8.ValidString(ref.String()) {
		return fault.Hint(fault.Usage("%q is not UTF-8, which %s, being JSON, cannot hold", ref.String(), bundle.StateFile),
			"rename the layout, or make no bundle, with --rootfs-only or --tar")
	}
	if p.layout, err = layout.Open(ref.Dir); err != nil {
		return err
	}
	if p.image, err = p.layout.Resolve(ctx, ref, p.platform); err != nil {
		return err
	}
	p.layers = nil
	for i, desc := range p.image.Manifest.Layers {
		p.layers = append(p.layers, layer.Layer{Descriptor: desc, DiffID: p.image.Config.RootFS.DiffIDs[i]})
	}
	if p.oneLayer != "" {
		if err := p.chooseLayer(); err != nil {
			return err
		}
	}
	if p.bundle == "" {
		p.bundle = bundleName(ref)
	}
	return nil
}

// chooseLayer leaves the one layer that --layer names.
func (p *plan) chooseLayer() error {
	if strings.Trim(p.oneLayer, "0123456789") == "" {
		n, err := strconv.Atoi(p.oneLayer)
		if err != nil || n < 1 || n > len(p.layers) {
			return fault.NotFound("--layer %s: the image has layers 1 to %d", p.oneLayer, len(p.layers))
		}
		p.layers = p.layers[n-1 : n]
		return nil
	}
	want, err := digest.Parse(p.oneLayer)
	if err != nil {
		return fault.Usage("--layer %s is neither the number of a layer nor a digest", p.oneLayer)
	}
	var have []string
	for _, l := range p.layers {
		if l.Descriptor.Digest == want || l.DiffID == want {
			p.layers = []layer.Layer{l}
			return nil
		}
		have = append(have, l.Descriptor.Digest.String())
	}
	return fault.Hint(fault.NotFound("--layer %s: the image has no such layer", p.oneLayer),
		"its layers, from the lowest: %s", strings.Join(have, " "))
}

// bundleName names a bundle after the tag, and after the layout where the tag
// says nothing.
func bundleName(ref layout.Reference) string {
	base := ref.Tag
	if base == "" || base == "latest" {
		base = filepath.Base(ref.Dir)
	}
	return base + ".bundle"
}

// state is what oci-bundle.json says.
func (p *plan) state() *bundle.State {
	s := &bundle.State{
		Tool: name + " " + cli.Version(), Reference: p.image.Reference.String(),
		Manifest: p.image.Descriptor, Config: p.image.Manifest.Config,
		Platform: &p.image.Config.Platform, ImageConfig: p.image.ConfigRaw,
		UIDMap: p.options.UIDMap, GIDMap: p.options.GIDMap, Rootless: p.options.Rootless,
	}
	for _, l := range p.layers {
		s.Layers = append(s.Layers, bundle.Layer{Descriptor: l.Descriptor, DiffID: l.DiffID})
	}
	if p.mtree {
		s.Mtree = p.manifestName()
	}
	return s
}

// manifestName is that of the mtree manifest in the bundle.
func (p *plan) manifestName() string { return bundle.MtreeName(p.image.Descriptor) }
