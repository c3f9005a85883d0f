package main

import (
	"cmp"
	"context"
	"runtime"
	"slices"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/oci-plumbing/oci-plumbing/lib/layer"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
	"github.com/oci-plumbing/oci-plumbing/lib/store"
)

const (
	// maxBatch is how many layers one confined process extracts: so many
	// descriptors are open meanwhile, and so many are lost when one fails.
	maxBatch = 32
	// smallFill is how many bytes of blobs are extracted before a second
	// process has paid for its start.
	smallFill = 1 << 20
)

// filler brings the layers of one image into the store.
type filler struct {
	*mounter
	source *layout.Layout
	// images asks for erofs images in place of directories.
	images bool
	layers []layer.Layer
}

// fill returns the entries of the layers, the lowest first. Those that are
// missing are extracted in batches, as many at a time as there are
// processors; a layer that another process is extracting is waited for.
func (f *filler) fill(ctx context.Context) ([]store.Entry, error) {
	entries := make([]store.Entry, len(f.layers))
	missing, err := f.lookup(entries)
	if err != nil {
		return nil, err
	}
	if len(missing) == 0 {
		return entries, nil
	}
	if f.images, err = f.wantImages(ctx); err != nil {
		return nil, err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, runtime.GOMAXPROCS(0)))
	for _, batch := range f.batches(missing) {
		group.Go(func() error { return f.fillBatch(ctx, batch) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	_, err = f.lookup(entries)
	return entries, err
}

// lookup finds the entries, and returns which layers have none. A layer that
// the image has twice is missing once.
func (f *filler) lookup(entries []store.Entry) (missing []int, err error) {
	seen := make(map[digest.Digest]bool)
	for i, l := range f.layers {
		entry, ok, err := f.store.Lookup(keyOf(l))
		if err != nil {
			return nil, err
		}
		if !ok && !seen[l.DiffID] {
			missing = append(missing, i)
			seen[l.DiffID] = true
		}
		entries[i] = entry
	}
	return missing, nil
}

func keyOf(l layer.Layer) store.Key { return store.Key{Kind: store.Layer, Digest: l.DiffID} }

// batches spreads layers over processes of about the same load: the largest
// goes first, each to the least loaded.
func (f *filler) batches(missing []int) [][]int {
	size := func(i int) int64 { return f.layers[i].Descriptor.Size }
	total := int64(0)
	for _, i := range missing {
		total += size(i)
	}
	count := min(max(1, runtime.GOMAXPROCS(0)), len(missing))
	if total <= smallFill {
		count = 1
	}
	count = max(count, (len(missing)+maxBatch-1)/maxBatch)
	bins, loads := make([][]int, count), make([]int64, count)
	missing = slices.Clone(missing)
	slices.SortStableFunc(missing, func(a, b int) int { return cmp.Compare(size(b), size(a)) })
	for _, i := range missing {
		least := 0
		for b := range bins {
			if len(bins[least]) >= maxBatch || loads[b] < loads[least] && len(bins[b]) < maxBatch {
				least = b
			}
		}
		bins[least], loads[least] = append(bins[least], i), loads[least]+size(i)
	}
	for _, bin := range bins {
		slices.Sort(bin)
	}
	return bins
}

// fillBatch has one process extract the layers.
func (f *filler) fillBatch(ctx context.Context, batch []int) error {
	keys := make([]store.Key, len(batch))
	which := make(map[store.Key]int)
	for i, l := range batch {
		keys[i] = keyOf(f.layers[l])
		which[keys[i]] = l
	}
	_, _, err := f.store.FillAll(ctx, keys, func(ctx context.Context, dir string, keys []store.Key) ([]any, error) {
		layers := make([]layer.Layer, len(keys))
		for i, key := range keys {
			layers[i] = f.layers[which[key]]
		}
		notes, err := f.confined(ctx, layers, false, dir)
		for _, key := range keys {
			if err == nil {
				f.log.Detail("layer %d of %d: %s", which[key]+1, len(f.layers), key.Digest)
			}
		}
		return notes, err
	})
	return err
}

// fillChain returns the entry of the layers 0 to top, merged into one.
func (f *filler) fillChain(ctx context.Context, top int) (store.Entry, error) {
	diffIDs := make([]digest.Digest, top+1)
	for i := range diffIDs {
		diffIDs[i] = f.layers[i].DiffID
	}
	key := store.Key{Kind: store.Chain, Digest: chainID(diffIDs)}
	entries, made, err := f.store.FillAll(ctx, []store.Key{key}, func(ctx context.Context, dir string, _ []store.Key) ([]any, error) {
		return f.confined(ctx, f.layers[:top+1], true, dir)
	})
	if err != nil {
		return store.Entry{}, err
	}
	if made > 0 {
		f.log.Detail("layers 1 to %d depend on each other: merged as %s", top+1, key.Digest)
	}
	return entries[0], nil
}
