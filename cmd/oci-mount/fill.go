package main

import (
	"context"
	"errors"
	"runtime"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/oci-plumbing/oci-plumbing/lib/layer"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
	"github.com/oci-plumbing/oci-plumbing/lib/store"
)

// filler brings the layers of one image into the store.
type filler struct {
	*mounter
	source *layout.Layout
	// images asks for erofs images in place of directories.
	images bool
	layers []layer.Layer
}

// fill returns the entries of the layers, the lowest first. As many layers
// are extracted at a time as there are processors; a layer that another
// process is extracting is waited for.
func (f *filler) fill(ctx context.Context) ([]store.Entry, error) {
	entries := make([]store.Entry, len(f.layers))
	var err error
	if f.images, err = f.wantImages(ctx); err != nil {
		return nil, err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.NumCPU())
	for i, l := range f.layers {
		key := store.Key{Kind: store.Layer, Digest: l.DiffID}
		entry, ok, err := f.store.Lookup(key)
		if err != nil {
			return nil, errors.Join(err, group.Wait())
		}
		if ok {
			entries[i] = entry
			continue
		}
		group.Go(func() error {
			entry, made, err := f.store.Fill(ctx, key, func(ctx context.Context, dir string) (any, error) {
				return f.confined(ctx, f.layers[i:i+1], false, dir)
			})
			if made {
				f.log.Detail("layer %d of %d: %s", i+1, len(f.layers), l.DiffID)
			}
			entries[i] = entry
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return entries, nil
}

// fillChain returns the entry of the layers 0 to top, merged into one.
func (f *filler) fillChain(ctx context.Context, top int) (store.Entry, error) {
	diffIDs := make([]digest.Digest, top+1)
	for i := range diffIDs {
		diffIDs[i] = f.layers[i].DiffID
	}
	key := store.Key{Kind: store.Chain, Digest: chainID(diffIDs)}
	entry, made, err := f.store.Fill(ctx, key, func(ctx context.Context, dir string) (any, error) {
		return f.confined(ctx, f.layers[:top+1], true, dir)
	})
	if made {
		f.log.Detail("layers 1 to %d depend on each other: merged as %s", top+1, key.Digest)
	}
	return entry, err
}
