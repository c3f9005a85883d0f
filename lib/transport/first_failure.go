package transport

import (
	"context"
	"errors"
	"io"

	"go.podman.io/image/v5/types"
)

// The library lets all layers of an image come to their end before it tells
// that one has failed, which over a network may take minutes. So what it reads
// and writes is watched, and the first failure ends the copy.
//
// A wrapper shows the library the public interfaces only. That is all that our
// own sources and destinations have; of the library's, those that can hold
// signatures or share layers have more, and stay as they are: their blobs go
// ahead where that can be (blobRoute).

// hasMore reports whether an end of the copy has more than public interfaces;
// registries have when they are not ours.
func hasMore(t *target, ours bool) bool {
	switch t.transport {
	case "dir", "containers-storage":
		return true
	case "docker":
		return !ours
	default:
		return false
	}
}

// watchedSource is a source whose first failure ends the copy.
type watchedSource struct {
	types.ImageSource
	stop context.CancelCauseFunc
}

func (j *job) watchSource(stop context.CancelCauseFunc) types.ImageSource {
	if _, ours := j.source.(*registrySource); hasMore(j.src, ours) {
		return j.source
	}
	return &watchedSource{j.source, stop}
}

// GetBlob opens a blob.
func (s *watchedSource) GetBlob(ctx context.Context, info types.BlobInfo, cache types.BlobInfoCache) (io.ReadCloser, int64, error) {
	r, size, err := s.ImageSource.GetBlob(ctx, info, cache)
	if err != nil {
		s.stop(err)
		return nil, 0, err
	}
	return &watchedBlob{r, s.stop}, size, nil
}

// watchedBlob is a blob whose failure ends the copy.
type watchedBlob struct {
	io.ReadCloser
	stop context.CancelCauseFunc
}

func (b *watchedBlob) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.stop(err)
	}
	return n, err
}

// watchedDestination is a destination whose first failure ends the copy. What
// goes wrong between source and destination, as when a layer is decompressed,
// arrives as an error of the stream that the destination reads.
type watchedDestination struct {
	types.ImageDestination
	stop context.CancelCauseFunc
}

func (j *job) watchDestination(stop context.CancelCauseFunc) types.ImageDestination {
	if _, ours := j.destination.(*registryDestination); hasMore(j.dst, ours) {
		return j.destination
	}
	return &watchedDestination{j.destination, stop}
}

// PutBlob stores a blob.
func (d *watchedDestination) PutBlob(ctx context.Context, stream io.Reader, info types.BlobInfo, cache types.BlobInfoCache, isConfig bool) (types.BlobInfo, error) {
	stored, err := d.ImageDestination.PutBlob(ctx, stream, info, cache, isConfig)
	if err != nil {
		d.stop(err)
	}
	return stored, err
}

// TryReusingBlob asks for a blob.
func (d *watchedDestination) TryReusingBlob(ctx context.Context, info types.BlobInfo, cache types.BlobInfoCache, substitute bool) (bool, types.BlobInfo, error) {
	had, found, err := d.ImageDestination.TryReusingBlob(ctx, info, cache, substitute)
	if err != nil {
		d.stop(err)
	}
	return had, found, err
}
