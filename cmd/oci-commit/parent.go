package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
)

// parent is the image that is stacked on, and the layout it lies in.
type parent struct {
	layout *layout.Layout
	image  *layout.Image
}

// findParent opens the parent: where the source says it is, or else in the
// destination; nil when there is none.
func findParent(ctx context.Context, s *source, dst layout.Reference) (*parent, error) {
	if s.parent.Digest == "" {
		return nil, nil
	}
	var missing error
	for _, dir := range []string{s.parentDir, dst.Dir} {
		if dir == "" {
			continue
		}
		l, err := layout.Open(dir)
		if err == nil {
			var img *layout.Image
			if img, err = l.Image(ctx, s.parent); err == nil {
				return &parent{layout: l, image: img}, nil
			}
		}
		if !errors.Is(err, fault.ErrNotFound) {
			return nil, fmt.Errorf("parent image %s: %w", s.parent.Digest, err)
		}
		if missing == nil {
			missing = err
		}
	}
	if missing == nil {
		missing = fault.NotFound("no layout is known")
	}
	// Its own cure, to copy the image anew, is none for one that was committed.
	return nil, fault.Hint(fault.NotFound("parent image %s (%s): %s", s.ref, s.parent.Digest, missing.Error()),
		"tell where it is: --from oci:DIR:TAG")
}

// copyBlobs copies what the new image needs of its parent's to the
// destination, verified on the way, on all cores. In the same layout there is
// nothing to do.
func (p *parent) copyBlobs(ctx context.Context, dst *layout.Layout, descs []ispec.Descriptor) error {
	same, err := sameDir(p.layout.Dir(), dst.Dir())
	if same || err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, desc := range descs {
		group.Go(func() error {
			if err := p.copyBlob(ctx, dst, desc); err != nil {
				return fmt.Errorf("copy %s to %s: %w", desc.Digest, dst.Dir(), err)
			}
			return nil
		})
	}
	return group.Wait()
}

func (p *parent) copyBlob(ctx context.Context, dst *layout.Layout, desc ispec.Descriptor) error {
	if has, err := dst.HasBlob(ctx, desc); has || err != nil {
		return err
	}
	in, err := p.layout.Blob(ctx, desc)
	if err != nil {
		return err
	}
	out, err := dst.NewBlobOf(ctx, desc.Digest.Algorithm())
	if err != nil {
		return errors.Join(err, in.Close())
	}
	if _, err = io.Copy(out, in); err == nil {
		err = out.CommitAs(ctx, desc)
	}
	return errors.Join(err, out.Cancel(), in.Close())
}

func sameDir(a, b string) (bool, error) {
	x, err := os.Stat(a)
	if err != nil {
		return false, fmt.Errorf("compare layouts: %w", err)
	}
	y, err := os.Stat(b)
	if err != nil {
		return false, fmt.Errorf("compare layouts: %w", err)
	}
	return os.SameFile(x, y), nil
}
