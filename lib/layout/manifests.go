package layout

import (
	"context"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Manifests returns the descriptors of all image manifests in the layout, of
// every platform. Of an index that was copied in part some may not be there.
func (l *Layout) Manifests(ctx context.Context) ([]ispec.Descriptor, error) {
	index, err := l.Index(ctx)
	if err != nil {
		return nil, err
	}
	return l.manifests(ctx, index.Manifests)
}
