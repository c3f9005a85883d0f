package main

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/layer"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
	"github.com/oci-plumbing/oci-plumbing/lib/store"
)

// fillSteps print how the layers come into the store, and return where they
// are, the topmost first. A script keeps those that it extracts in the bundle:
// the store has notes beside each layer that tar does not write.
func (m *mounter) fillSteps(source *layout.Layout, layers []layer.Layer, o *layer.Outline) ([]string, error) {
	var paths []string
	seen := make(map[digest.Digest]bool)
	for i, l := range slices.Backward(layers) {
		if i <= o.Dependent {
			dir, err := m.mergeSteps(source, layers[:i+1], o)
			return append(paths, dir), err
		}
		if seen[l.DiffID] { // the kernel takes no layer twice
			continue
		}
		seen[l.DiffID] = true
		place, err := m.layerStep(source, l, i, &o.Layers[i])
		if err != nil {
			return nil, err
		}
		paths = append(paths, place)
		if slices.ContainsFunc(o.Layers[i].Entries, func(e layer.TraceEntry) bool { return e.Action == "opaque" && e.Path == "" }) {
			break // nothing of the lower ones is seen
		}
	}
	return paths, nil
}

// layerStep prints how one layer is extracted, unless it is there already,
// and returns where it is.
func (m *mounter) layerStep(source *layout.Layout, l layer.Layer, i int, c *layer.Changes) (string, error) {
	key := store.Key{Kind: store.Layer, Digest: l.DiffID}
	entry, ok, err := m.store.Lookup(key)
	if ok || err != nil {
		return entry.Path, err
	}
	dir := filepath.Join(m.Bundle, "layers", l.DiffID.Encoded())
	if !m.byHand {
		if dir, err = m.store.Dir(key); err != nil {
			return "", err
		}
	}
	commands, err := tarCommands(source, l, dir)
	if err != nil {
		return "", err
	}
	commands = append(append([]string{"mkdir -p -m 755 -- " + explain.Quote(dir)}, commands...), m.marks(dir, c)...)
	why := "whiteouts become character devices 0:0, opaque directories get an attribute: the form that the kernel stacks"
	place := dir
	switch {
	case m.byHand && m.Format == formatErofs:
		place = dir + ".erofs"
		commands = append(commands, "mkfs.erofs "+explain.Quote(place, dir)+" >/dev/null", "rm -r -- "+explain.Quote(dir))
		why += "; oci-mount itself wraps the archive as it is, in which mkfs.erofs finds the same files"
	case m.Format == formatAuto && !m.userXattr:
		why += "; oci-mount itself makes it an image file (--layer-format erofs) where the kernel mounts such"
	}
	return place, m.steps.Step(explain.Step{
		Action: fmt.Sprintf("extract layer %d", i+1), Command: strings.Join(commands, "\n"),
		Why: why, Ref: "image-spec layer.md, overlayfs.rst",
	})
}

// mergeSteps print how layers that depend on each other become one directory.
func (m *mounter) mergeSteps(source *layout.Layout, layers []layer.Layer, o *layer.Outline) (string, error) {
	dir := filepath.Join(m.Bundle, "layers", "merged")
	for i, l := range layers {
		commands, err := tarCommands(source, l, dir)
		if err != nil {
			return "", err
		}
		commands = append(explain.Lines("rm -rf --", within(dir, o.Layers[i].Removed)), commands...)
		if i == 0 {
			commands = append([]string{"mkdir -p -m 755 -- " + explain.Quote(dir)}, commands...)
		}
		err = m.steps.Step(explain.Step{
			Action: fmt.Sprintf("extract layer %d over those below it", i+1), Command: strings.Join(commands, "\n"),
			Why: "a hard link to a file of a lower layer needs both in one directory", Ref: "image-spec layer.md",
		})
		if err != nil {
			return "", err
		}
	}
	return dir, nil
}

// tarCommands verify the blob, and extract it.
func tarCommands(source *layout.Layout, l layer.Layer, dir string) ([]string, error) {
	blob, err := source.BlobPath(l.Descriptor.Digest)
	if err != nil {
		return nil, err
	}
	compression, err := layer.CompressionOf(l.Descriptor.MediaType)
	if err != nil {
		return nil, err
	}
	inflate := map[layer.Compression]string{layer.Gzip: "gzip -dc", layer.Zstd: "zstd -dcq"}[compression]
	if inflate == "" {
		inflate = "cat"
	}
	return []string{
		"echo " + explain.Quote(l.Descriptor.Digest.Encoded()+"  "+blob) + " | sha256sum -c - >/dev/null",
		inflate + " " + explain.Quote(blob) + " | tar -C " + explain.Quote(dir) + " -x -p --same-owner --numeric-owner --xattrs --xattrs-include='*'" +
			" --xattrs-exclude='trusted.overlay.*' --xattrs-exclude='user.overlay.*' --exclude='.wh.*' -f -",
	}, nil
}

// marks are the commands that hide what a layer removes. The whiteout of what
// the layer itself has again is that of its lower content alone.
func (m *mounter) marks(dir string, c *layer.Changes) []string {
	has := make(map[string]bool) // what the layer has, and what that is in
	for _, e := range c.Entries {
		switch e.Action {
		case "whiteout", "opaque", "skip":
		default:
			for p := path.Clean(e.Path); p != "." && !has[p]; p = path.Dir(p) {
				has[p] = true
			}
		}
	}
	var opaque, removed []string
	for _, e := range c.Entries {
		switch {
		case e.Action == "opaque" && e.Path != "", e.Action == "whiteout" && has[e.Path]:
			opaque = append(opaque, e.Path)
		case e.Action == "whiteout":
			removed = append(removed, e.Path)
		}
	}
	var commands []string
	for _, each := range explain.Lines("for path in", within(dir, removed)) {
		commands = append(commands, each+"; do\n"+
			"  mkdir -p -- \"${path%/*}\"\n  mknod -- \"$path\" c 0 0\ndone")
	}
	namespace := "trusted"
	if m.userXattr {
		namespace = "user"
	}
	for _, each := range explain.Lines("for path in", within(dir, opaque)) {
		commands = append(commands, each+"; do\n"+
			"  test -h \"$path\" || test -f \"$path\" || mkdir -p -- \"$path\"\n"+
			"  test -h \"$path\" || ! test -d \"$path\" || setfattr -n "+namespace+".overlay.opaque -v y -- \"$path\"\ndone")
	}
	return commands
}

func within(dir string, paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = dir + "/" + p
	}
	return out
}
