package layout

import (
	"context"
	"slices"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Untag takes the tag out of index.json. The blobs stay; that the tag is not
// there is no error. When Untag returns nil the change survives a power cut.
func (l *Layout) Untag(ctx context.Context, tag string) error {
	return l.edit(ctx, func(entries []entry) []entry {
		return slices.DeleteFunc(entries, func(e entry) bool { return e.desc.Annotations[ispec.AnnotationRefName] == tag })
	})
}
