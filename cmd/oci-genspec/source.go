package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
	"github.com/oci-plumbing/oci-plumbing/lib/spec"
)

// source is what a config.json is made from.
type source struct {
	// bundle is nil when none was named.
	bundle *bundle.Bundle
	state  *bundle.State
	// rootfs is the path of the tree; empty without one.
	rootfs string
	// tree is the rootfs, opened; nil without one.
	tree   *spec.Rootfs
	config []byte
}

// findSource finds the image config and the rootfs: what the flags name, else
// what the bundle remembers, else what lies in the layout that it came from.
func findSource(ctx context.Context, inv *cli.Invocation, path string) (*source, error) {
	s := &source{rootfs: inv.String("rootfs")}
	if path != "" {
		b, err := bundle.Find(path)
		if err != nil && isImage(path) {
			err = fault.Hint(fault.Usage("%s is an image, not a bundle", path), "%s", lineOfImage(path))
		}
		if err != nil {
			return nil, err
		}
		s.bundle = b
		s.state, err = b.State()
		if err != nil && !errors.Is(err, fault.ErrNotFound) {
			return nil, err
		}
		if s.rootfs == "" {
			s.rootfs = b.Rootfs()
		}
	}
	if s.rootfs != "" {
		abs, err := filepath.Abs(s.rootfs)
		if err != nil {
			return nil, err
		}
		s.rootfs = abs
	}
	return s, s.readConfig(ctx, inv)
}

// ownConfig reports whether the file is the config.json of the bundle.
func (s *source) ownConfig(file string) bool {
	if s == nil || s.bundle == nil || filepath.Base(file) != bundle.ConfigFile {
		return false
	}
	dir, err1 := os.Stat(filepath.Dir(file))
	own, err2 := os.Stat(s.bundle.Dir)
	return err1 == nil && err2 == nil && os.SameFile(dir, own)
}

// isImage reports whether a word that names no bundle is meant as an image: by
// its transport, or by the layout that it names.
func isImage(word string) bool {
	if line, _ := layout.CopyLine(word); line != "" || strings.HasPrefix(word, "oci:") {
		return true
	}
	ref, err := layout.ParseReference(word)
	if err != nil {
		return false
	}
	_, err = layout.Open(ref.Dir)
	return err == nil
}

// lineOfImage is the pipe that takes an image to a container.
func lineOfImage(name string) string {
	if line, _ := layout.CopyLine(name); line != "" {
		return line + " | oci-mount | oci-genspec | oci-run"
	}
	return "oci-mount " + name + " | oci-genspec | oci-run"
}

func (s *source) readConfig(ctx context.Context, inv *cli.Invocation) error {
	file, image := inv.String("image-config"), inv.String("image")
	switch {
	case file != "" && image != "":
		return inv.Usage("--image and --image-config exclude each other")
	case file != "":
		data, err := readFile(inv, file)
		s.config = data
		return err
	case image != "":
		return s.fromLayout(ctx, inv, image)
	case s.state != nil && len(s.state.ImageConfig) > 0:
		s.config = s.state.ImageConfig
		return nil
	case s.state != nil:
		return fault.Hint(s.fromState(ctx), "name the image with --image DIR[:TAG], or its config with --image-config FILE")
	default:
		return fault.Hint(fault.NotFound("bundle %s does not say which image it holds: it has no %s", s.bundle.Dir, bundle.StateFile),
			"name the image with --image DIR[:TAG], or its config with --image-config FILE")
	}
}

func (s *source) fromLayout(ctx context.Context, inv *cli.Invocation, image string) error {
	ref, err := layout.ParseReference(image)
	if err != nil {
		return err
	}
	platform, err := layout.ParsePlatform(inv.String("platform"))
	if err != nil {
		return err
	}
	l, err := layout.Open(ref.Dir)
	if err != nil {
		return err
	}
	img, err := l.Resolve(ctx, ref, platform)
	if err != nil {
		return err
	}
	s.config = img.ConfigRaw
	return nil
}

func (s *source) fromState(ctx context.Context) error {
	ref, err := layout.ParseReference(s.state.Reference)
	if err != nil {
		return err
	}
	l, err := layout.Open(ref.Dir)
	if err != nil {
		return err
	}
	s.config, err = l.ReadBlob(ctx, s.state.Config, spec.MaxSize)
	return err
}

// input is what the library wants to know. The rootfs is to be closed.
func (s *source) input(inv *cli.Invocation, inPlace bool) (spec.Input, error) {
	in := spec.Input{Host: spec.ThisHost(), Force: inv.Bool("force"), Root: bundle.RootfsDir}
	image, err := spec.ParseImage(s.config)
	if err != nil {
		return in, err
	}
	in.Image = image
	if s.rootfs != "" {
		if in.Rootfs, err = spec.OpenRootfs(s.rootfs); err != nil {
			return in, err
		}
		// runc refuses an absolute root with a link in it, such as the working
		// directory of a shell may have.
		if in.Root, err = filepath.EvalSymlinks(s.rootfs); err != nil {
			return in, fmt.Errorf("find rootfs: %w", err)
		}
		if s.bundle != nil && inPlace && s.rootfs == s.bundle.Rootfs() {
			in.Root = bundle.RootfsDir
		}
	}
	if s.bundle != nil {
		in.Name = filepath.Base(s.bundle.Dir)
	}
	in.Rootless = os.Geteuid() != 0 || in.Host.UserNamespace
	if s.state != nil {
		in.UIDMap, in.GIDMap = ranges(s.state.UIDMap), ranges(s.state.GIDMap)
	}
	return in, nil
}

func ranges(m idmap.Map) []spec.IDRange {
	var list []spec.IDRange
	for _, r := range m {
		list = append(list, spec.IDRange(r))
	}
	return list
}
