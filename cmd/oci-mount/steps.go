package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
	"github.com/oci-plumbing/oci-plumbing/lib/layer"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
	"github.com/oci-plumbing/oci-plumbing/lib/overlay"
	"github.com/oci-plumbing/oci-plumbing/lib/store"
)

// dryRun prints the script that does by hand what the plan says.
func dryRun(ctx context.Context, inv *cli.Invocation, p plan) error {
	m := newMounter(p, inv)
	image, source, err := m.resolve(ctx)
	if err != nil {
		return err
	}
	m.byHand = true
	if err := m.explain(source, image, true); err != nil || p.Program == nil {
		return err
	}
	return m.programStep()
}

// explain prints how the image is mounted, and how the bundle is made when it
// is a fresh one.
func (m *mounter) explain(source *layout.Layout, image *layout.Image, fresh bool) error {
	if !m.steps.Enabled() {
		return nil
	}
	if fresh {
		if err := m.bundleStep(); err != nil {
			return err
		}
	}
	paths, err := m.fillSteps(source, layersOf(image))
	if err != nil {
		return err
	}
	if paths, err = m.lowerSteps(paths); err != nil {
		return err
	}
	if fresh && !m.ReadOnly {
		if err := m.upperStep(paths); err != nil {
			return err
		}
	}
	return m.mountStep(paths)
}

// fillSteps print how the layers come into the store, and return where they
// are, the topmost first. A script keeps those that it extracts in the bundle:
// the store has notes beside each layer that tar does not write.
func (m *mounter) fillSteps(source *layout.Layout, layers []layer.Layer) ([]string, error) {
	var paths []string
	for i, l := range layers {
		key := store.Key{Kind: store.Layer, Digest: l.DiffID}
		entry, ok, err := m.store.Lookup(key)
		if err != nil {
			return nil, err
		}
		if !ok {
			if entry.Path, err = m.store.Dir(key); err != nil {
				return nil, err
			}
			if m.byHand {
				entry.Path = filepath.Join(m.Bundle, "layers", l.DiffID.Encoded())
			}
			if err := m.extractStep(source, l, i, entry.Path); err != nil {
				return nil, err
			}
		}
		paths = append([]string{entry.Path}, paths...)
	}
	return paths, nil
}

// extractStep prints the extraction of one layer with tar and the form that
// overlay wants. It leaves the directory alone when it is there.
func (m *mounter) extractStep(source *layout.Layout, l layer.Layer, i int, dir string) error {
	blob, err := source.BlobPath(l.Descriptor.Digest)
	if err != nil {
		return err
	}
	compression, err := layer.CompressionOf(l.Descriptor.MediaType)
	if err != nil {
		return err
	}
	inflate := map[layer.Compression]string{layer.Gzip: "gzip -dc", layer.Zstd: "zstd -dc"}[compression]
	if inflate == "" {
		inflate = "cat"
	}
	namespace := "trusted"
	if m.userXattr {
		namespace = "user"
	}
	q := explain.Quote
	return m.steps.Step(explain.Step{
		Action: fmt.Sprintf("extract layer %d into the cache", i+1),
		Command: strings.Join([]string{
			"if ! test -d " + q(dir) + "; then",
			"  mkdir -p " + q(filepath.Dir(dir)),
			"  layer=$(mktemp -d " + q(dir+".XXXXXX") + ")",
			"  chmod 755 \"$layer\"",
			"  echo " + q(l.Descriptor.Digest.Encoded()+"  "+blob) + " | sha256sum -c - >/dev/null",
			"  " + inflate + " " + q(blob) + " | tar -C \"$layer\" --numeric-owner --xattrs '--xattrs-include=*' -xpf -",
			"  find \"$layer\" -depth -name .wh..wh..opq -exec sh -c 'setfattr -n " + namespace +
				".overlay.opaque -v y \"${1%/*}\"; rm \"$1\"' sh {} ';'",
			"  find \"$layer\" -depth -name '.wh.*' -exec sh -c 'd=${1%/*}; n=${1##*/.wh.}; rm \"$1\"; test -e \"$d/$n\" || mknod \"$d/$n\" c 0 0' sh {} ';'",
			"  mv -T \"$layer\" " + q(dir),
			"fi",
		}, "\n"),
		Why: "whiteouts become character devices 0:0, opaque directories get an attribute: the form that the kernel stacks",
		Ref: "image-spec layer.md, overlayfs.rst",
	})
}

// bundleStep prints how the bundle is made.
func (m *mounter) bundleStep() error {
	b := bundle.Bundle{Dir: m.Bundle}
	dirs := []string{b.Rootfs()}
	if !m.ReadOnly {
		dirs = append(dirs, filepath.Join(b.Dir, bundle.UpperDir), filepath.Join(b.Dir, bundle.WorkDir))
	}
	command := "mkdir -p -m 700 " + explain.Quote(b.Dir) + "\nmkdir " + explain.Quote(dirs...)
	if m.Size > 0 {
		upper, work := filepath.Join(b.Dir, bundle.UpperDir), filepath.Join(b.Dir, bundle.WorkDir)
		inner := filepath.Join(work, bundle.UpperDir)
		command += fmt.Sprintf("\nmount -t tmpfs -o size=%d,mode=0700 %s %s", m.Size, overlay.Source, explain.Quote(work)) +
			"\nmkdir -m 700 " + explain.Quote(inner, filepath.Join(work, bundle.WorkDir)) +
			"\nmount --bind " + explain.Quote(inner, upper)
	}
	return m.steps.Step(explain.Step{Action: "make the bundle", Command: command, Why: "what is changed goes into upper"})
}

// upperStep prints how the upper directory gets the metadata of the root.
func (m *mounter) upperStep(paths []string) error {
	if len(paths) == 0 {
		return nil
	}
	upper := filepath.Join(m.Bundle, bundle.UpperDir)
	var commands []string
	for _, command := range []string{"chmod", "chown", "touch"} {
		commands = append(commands, command+" --reference="+explain.Quote(paths[0])+" "+explain.Quote(upper))
	}
	return m.steps.Step(explain.Step{
		Action: "dress the upper directory", Command: strings.Join(commands, "\n"),
		Why: "the root directory keeps the mode, owner and time that the image gives it",
	})
}

// lowerSteps print how layers that cannot be stacked as they are get mounts of
// their own, and return where all are. oci-mount itself passes such mounts to
// the kernel detached; mount(8) needs places for them.
func (m *mounter) lowerSteps(paths []string) ([]string, error) {
	var commands []string
	lowers := slices.Clone(paths)
	for i, path := range paths {
		place := filepath.Join(m.Bundle, "lower", strconv.Itoa(len(paths)-i))
		image := strings.HasSuffix(path, ".erofs")
		if !image && len(m.IDMap) == 0 {
			continue
		}
		commands = append(commands, "mkdir -p "+explain.Quote(place))
		if image {
			commands = append(commands, "mount -t erofs -o ro,loop "+explain.Quote(path, place))
			path = place
		}
		if len(m.IDMap) > 0 {
			commands = append(commands, "mount --bind -o "+explain.Quote("X-mount.idmap="+idmapOption(m.IDMap))+" "+explain.Quote(path, place))
			if image {
				m.places = append(m.places, place) // one on the other
			}
		}
		lowers[i] = place
		m.places = append(m.places, place)
	}
	if len(commands) == 0 {
		return lowers, nil
	}
	return lowers, m.steps.Step(explain.Step{
		Action: "mount the layers by themselves", Command: strings.Join(commands, "\n"),
		Why: "an image file is no directory, and mapped ids belong to a mount", Ref: "mount(8), X-mount.idmap of util-linux 2.39",
	})
}

// idmapOption is the id map as mount(8) takes it: TYPE:MOUNT:HOST:RANGE.
func idmapOption(ids idmap.Map) string {
	words := make([]string, len(ids))
	for i, r := range ids {
		words[i] = fmt.Sprintf("b:%d:%d:%d", r.Container, r.Host, r.Size)
	}
	return strings.Join(words, " ")
}

// mountStep prints the mount(8) command.
func (m *mounter) mountStep(paths []string) error {
	b := bundle.Bundle{Dir: m.Bundle}
	s := overlay.Stack{UserXattr: m.userXattr, Volatile: m.Volatile}
	words := []string{"lowerdir=" + strings.Join(paths, ":")}
	if !m.ReadOnly {
		s.Upper, s.Work = filepath.Join(b.Dir, bundle.UpperDir), filepath.Join(b.Dir, bundle.WorkDir)
		if m.Size > 0 {
			s.Upper, s.Work = filepath.Join(s.Work, bundle.UpperDir), filepath.Join(s.Work, bundle.WorkDir)
		}
	} else {
		words = append([]string{"ro"}, words...)
	}
	words = append(words, s.Options()...)
	command := "mount -t overlay " + overlay.Source + " -o " + explain.Quote(strings.Join(words, ",")) + " " + explain.Quote(b.Rootfs())
	if len(paths) == 1 && m.ReadOnly {
		command = "mount --bind " + explain.Quote(paths[0], b.Rootfs()) + "\nmount -o remount,ro,bind " + explain.Quote(b.Rootfs())
	}
	return m.steps.Step(explain.Step{
		Action: "mount the layers", Command: command + "\necho " + explain.Quote(b.Rootfs()),
		Why: "the first directory of lowerdir is the topmost layer", Ref: "overlayfs.rst",
	})
}

// programStep prints how PROG is run, and what is cleared away after it.
func (m *mounter) programStep() error {
	b := bundle.Bundle{Dir: m.Bundle}
	command := "(cd " + explain.Quote(b.Dir) + " && OCI_BUNDLE=" + explain.Quote(b.Dir) + " " + explain.Quote(m.Program...) + ")\numount " + explain.Quote(b.Rootfs())
	if m.Size > 0 {
		command += "\numount " + explain.Quote(filepath.Join(b.Dir, bundle.UpperDir), filepath.Join(b.Dir, bundle.WorkDir))
	}
	if len(m.places) > 0 {
		command += "\numount " + explain.Quote(m.places...)
	}
	if m.Private {
		command += "\nrm -r -- " + explain.Quote(b.Dir)
	}
	return m.steps.Step(explain.Step{Action: "run the program, then unmount", Command: command})
}
