package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/confine"
	"github.com/oci-plumbing/oci-plumbing/lib/layer"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
)

// fillJob is what the confined process does: it extracts layers into the name
// Dir below its own directory.
type fillJob struct {
	Layout string        `json:"layout"`
	Layers []layer.Layer `json:"layers"`
	Dir    string        `json:"dir"`
	// Merge asks for one tree of all layers; else there is one.
	Merge bool `json:"merge,omitempty"`
	// Image asks for an erofs image, where the layer can be one.
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
	source, err := layout.Open(j.Layout)
	if err != nil {
		return nil, err
	}
	opt := layer.Options{
		UserXattrs: j.UserXattrs, Rootless: j.Rootless,
		Warn: func(format string, args ...any) { send(fillMessage{Warn: fmt.Sprintf(format, args...)}) },
	}
	if j.Image && !j.Merge {
		side, err := extractImage(ctx, source, j, opt)
		if !errors.Is(err, layer.ErrNoImage) {
			return side, err
		}
		if err := os.Remove(j.Dir); err != nil {
			return nil, fmt.Errorf("remove image: %w", err)
		}
	}
	if err := os.Mkdir(j.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("make layer directory: %w", err)
	}
	if !j.Merge {
		return layer.Extract(ctx, source, j.Layers[0], j.Dir, opt)
	}
	if _, err := layer.Unpack(ctx, source, j.Layers, j.Dir, opt); err != nil {
		return nil, err
	}
	return layer.Sidecar{}, nil
}

// extractImage makes the one layer an image file.
func extractImage(ctx context.Context, source layer.Source, j fillJob, opt layer.Options) (side *layer.Sidecar, err error) {
	image, err := os.OpenFile(j.Dir, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make image: %w", err)
	}
	defer func() { err = errors.Join(err, image.Close()) }()
	return layer.ExtractImage(ctx, source, j.Layers[0], image, opt)
}

// confined has the layers extracted into dir by a process that can write
// nowhere else.
func (f *filler) confined(ctx context.Context, layers []layer.Layer, merge bool, dir string) (any, error) {
	child := confine.Child{
		Name: ownName(), Dir: filepath.Dir(dir), Stderr: os.Stderr,
		Message: func(raw json.RawMessage) {
			var m fillMessage
			if err := json.Unmarshal(raw, &m); err == nil {
				f.log.Warn("%s", m.Warn)
			}
		},
		NoWall: func(reason error) { f.log.Detail("extracting without a mount namespace of its own: %v", reason) },
	}
	side := new(layer.Sidecar)
	err := child.Run(ctx, fillJob{
		Layout: f.source.Dir(), Layers: layers, Dir: filepath.Base(dir), Merge: merge, Image: f.images,
		UserXattrs: f.userXattr, Rootless: onlyRoot(f.form),
	}, side)
	if err != nil {
		return nil, err
	}
	return side, nil
}
