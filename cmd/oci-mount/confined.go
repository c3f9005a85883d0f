package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/confine"
	"github.com/oci-plumbing/oci-plumbing/lib/layer"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
	"github.com/oci-plumbing/oci-plumbing/lib/store"
)

// fillJob is what the confined process does: it extracts layers into its own
// directory, each under the name that the store has for it.
type fillJob struct {
	Layout string        `json:"layout"`
	Layers []layer.Layer `json:"layers"`
	// Merge asks for one tree of all layers.
	Merge bool `json:"merge,omitempty"`
	// Image asks for erofs images, where layers can be such.
	Image      bool `json:"image,omitempty"`
	UserXattrs bool `json:"userXattrs,omitempty"`
	Rootless   bool `json:"rootless,omitempty"`
}

// fillMessage is what it says meanwhile.
type fillMessage struct {
	Warn string `json:"warn"`
}

// fillConfined runs in the confined process.
func fillConfined(ctx context.Context, raw json.RawMessage, send func(any)) (any, error) {
	var j fillJob
	if err := json.Unmarshal(raw, &j); err != nil {
		return nil, fmt.Errorf("read the job: %w", err)
	}
	// Only here, in a process of its own, may the umask be changed: files
	// then get their mode by being made.
	unix.Umask(0)
	layer.TuneCollector(j.Layers, 50)
	source, err := layout.Open(j.Layout)
	if err != nil {
		return nil, err
	}
	opt := layer.Options{
		UserXattrs: j.UserXattrs, Rootless: j.Rootless,
		Warn: func(format string, args ...any) { send(fillMessage{Warn: fmt.Sprintf(format, args...)}) },
	}
	if j.Merge {
		if err := os.Mkdir(store.WorkName(0), 0o755); err != nil {
			return nil, fmt.Errorf("make layer directory: %w", err)
		}
		_, err := layer.Unpack(ctx, source, j.Layers, store.WorkName(0), opt)
		return []*layer.Sidecar{{}}, err
	}
	sides := make([]*layer.Sidecar, len(j.Layers))
	for i, l := range j.Layers {
		if sides[i], err = extract(ctx, source, l, store.WorkName(i), j.Image, opt); err != nil {
			return nil, err
		}
	}
	return sides, nil
}

// extract makes a layer an image file, if that is asked for and can be, or
// else a directory.
func extract(ctx context.Context, source layer.Source, l layer.Layer, name string, asImage bool, opt layer.Options) (*layer.Sidecar, error) {
	if asImage {
		side, err := extractImage(ctx, source, l, name, opt)
		if !errors.Is(err, layer.ErrNoImage) {
			return side, err
		}
		if err := os.Remove(name); err != nil {
			return nil, fmt.Errorf("remove image: %w", err)
		}
	}
	if err := os.Mkdir(name, 0o755); err != nil {
		return nil, fmt.Errorf("make layer directory: %w", err)
	}
	return layer.Extract(ctx, source, l, name, opt)
}

// extractImage makes the layer an image file.
func extractImage(ctx context.Context, source layer.Source, l layer.Layer, name string, opt layer.Options) (side *layer.Sidecar, err error) {
	image, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make image: %w", err)
	}
	defer func() { err = errors.Join(err, image.Close()) }()
	return layer.ExtractImage(ctx, source, l, image, opt)
}

// confined has the layers extracted into dir by a process that can write
// nowhere else, and returns their notes, which it passes on unread.
func (f *filler) confined(ctx context.Context, layers []layer.Layer, merge bool, dir string) ([]any, error) {
	child := confine.Child{
		Name: ownName(), Dir: dir, Stderr: os.Stderr,
		Message: func(raw json.RawMessage) {
			var m fillMessage
			if err := json.Unmarshal(raw, &m); err == nil {
				f.log.Warn("%s", m.Warn)
			}
		},
		NoWall: func(reason error) { f.log.Detail("extracting without a mount namespace of its own: %v", reason) },
	}
	var sides []json.RawMessage
	err := child.Run(ctx, fillJob{
		Layout: f.source.Dir(), Layers: layers, Merge: merge, Image: f.images,
		UserXattrs: f.userXattr, Rootless: onlyRoot(f.form),
	}, &sides)
	if err != nil {
		return nil, err
	}
	notes := make([]any, len(sides))
	for i, side := range sides {
		notes[i] = side
	}
	return notes, nil
}
