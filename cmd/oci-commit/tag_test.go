package main

import (
	"context"
	"errors"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
)

// A commit whose parent another one has replaced among images for several
// platforms takes nothing from those.
func TestTagOfAReplacedParent(t *testing.T) {
	ctx := context.Background()
	l, err := layout.Create(ctx, t.TempDir())
	must(t, err)
	index, err := l.PutBytes(ctx, ispec.MediaTypeImageIndex, []byte(`{"schemaVersion":2,"manifests":[]}`))
	must(t, err)
	must(t, l.Tag(ctx, "multi", index))
	ref := layout.Reference{Dir: l.Dir(), Tag: "multi"}
	if _, err := tag(ctx, l, ref, index, digest.FromString("gone"), true); !errors.Is(err, fault.ErrTemporary) {
		t.Errorf("tag() = %v, want a temporary failure", err)
	}
	set, err := tag(ctx, l, ref, index, digest.FromString("gone"), false)
	must(t, err)
	must(t, set.Undo(ctx))
}
