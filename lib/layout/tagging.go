package layout

import (
	"context"
	"slices"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Tagging is a tag that was set, and what it named before.
type Tagging struct {
	layout *Layout
	tag    string
	desc   ispec.Descriptor
	// before are the descriptors that lost the tag; a tag may name one for
	// each platform.
	before []entry
}

// Undo gives the tag back to all that had it, unless another writer has set it
// since. When Undo returns nil the change survives a power cut.
func (t *Tagging) Undo(ctx context.Context) error {
	return t.layout.edit(ctx, func(entries []entry) []entry {
		i := slices.IndexFunc(entries, t.isOurs)
		if i < 0 {
			return entries
		}
		return slices.Replace(entries, i, i+1, t.before...)
	})
}

func (t *Tagging) isOurs(e entry) bool {
	return e.desc.Annotations[ispec.AnnotationRefName] == t.tag && e.desc.Digest == t.desc.Digest
}
