package transport

import (
	"context"
	"fmt"
	"sync"

	"go.podman.io/image/v5/image"
	ocilayout "go.podman.io/image/v5/oci/layout"
	"go.podman.io/image/v5/types"

	"github.com/oci-plumbing/oci-plumbing/lib/layout"
)

// layoutRef is an image in an OCI layout. The library's own reference below it
// answers what the signature policy asks; all bytes go through lib/layout.
type layoutRef struct {
	types.ImageReference
	copier *Copier
	ref    layout.Reference
	shared string
	// claim is set once the layout has been opened for writing.
	claim *layout.Claim
	// stored are the paths of the blobs that were written.
	stored sync.Map // string → struct{}
}

func (c *Copier) newLayoutRef(ref layout.Reference, end side) (*layoutRef, error) {
	shared := c.options.Source.SharedBlobs
	if end == destination {
		shared = c.options.Destination.SharedBlobs
	}
	inner, err := ocilayout.NewReference(ref.Dir, ref.Tag)
	if err != nil {
		return nil, fmt.Errorf("reference %s: %w", ref, err)
	}
	return &layoutRef{ImageReference: inner, copier: c, ref: ref, shared: shared}, nil
}

func (r *layoutRef) layoutOptions() []layout.Option {
	options := []layout.Option{layout.Remember(&r.copier.indexes)}
	if r.shared != "" {
		options = append(options, layout.SharedBlobs(r.shared))
	}
	return options
}

// NewImage opens the image for reading.
func (r *layoutRef) NewImage(ctx context.Context, sys *types.SystemContext) (types.ImageCloser, error) {
	src, err := r.NewImageSource(ctx, sys)
	if err != nil {
		return nil, err
	}
	return image.FromSource(ctx, sys, src)
}

// NewImageSource opens the layout for reading.
func (r *layoutRef) NewImageSource(ctx context.Context, _ *types.SystemContext) (types.ImageSource, error) {
	return r.open(ctx)
}

// NewImageDestination opens the layout for writing, and makes it when it is
// not there.
func (r *layoutRef) NewImageDestination(ctx context.Context, _ *types.SystemContext) (types.ImageDestination, error) {
	return r.create(ctx)
}
