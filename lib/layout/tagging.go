package layout

import (
	"context"
	"fmt"
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

// Retag sets the tag to what depends on what it names: next is called with that
// while the layout is locked, so that no other writer's change is lost. It
// returns the new descriptor, and which of those with the tag makes room for
// it; with -1 all do.
func (l *Layout) Retag(ctx context.Context, tag string, next func(now []ispec.Descriptor) (ispec.Descriptor, int, error)) (*Tagging, error) {
	t := &Tagging{layout: l, tag: tag}
	return t, l.edit(ctx, func(entries []entry) ([]entry, error) {
		var now []ispec.Descriptor
		var at []int
		for i, e := range entries {
			if e.desc.Annotations[ispec.AnnotationRefName] == tag {
				now, at = append(now, e.desc), append(at, i)
			}
		}
		desc, place, err := next(now)
		if err != nil {
			return nil, fmt.Errorf("tag %q in %s: %w", tag, l.dir, err)
		}
		e, err := l.listed(tag, desc)
		if err != nil {
			return nil, err
		}
		t.desc = e.desc
		if place < 0 {
			return t.takeAll(entries, e), nil
		}
		t.before = []entry{entries[at[place]]}
		entries[at[place]] = e
		return entries, nil
	})
}

// takeAll lists the entry, and takes out all that has its tag. Without a tag it
// takes the place of itself.
func (t *Tagging) takeAll(entries []entry, e entry) []entry {
	entries = slices.DeleteFunc(entries, func(was entry) bool {
		loses := was.desc.Annotations[ispec.AnnotationRefName] == t.tag && (t.tag != "" || was.desc.Digest == t.desc.Digest)
		if loses {
			t.before = append(t.before, was)
		}
		return loses
	})
	return append(entries, e)
}

// Undo gives the tag back to all that had it, unless another writer has set it
// since. When Undo returns nil the change survives a power cut.
func (t *Tagging) Undo(ctx context.Context) error {
	return t.layout.edit(ctx, func(entries []entry) ([]entry, error) {
		i := slices.IndexFunc(entries, t.isOurs)
		if i < 0 {
			return entries, nil
		}
		return slices.Replace(entries, i, i+1, t.before...), nil
	})
}

func (t *Tagging) isOurs(e entry) bool {
	return e.desc.Annotations[ispec.AnnotationRefName] == t.tag && e.desc.Digest == t.desc.Digest
}
