package layout

import (
	"context"
	"slices"
	"testing"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestUntag(t *testing.T) {
	ctx := context.Background()
	l, err := Create(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	desc, err := l.PutBytes(ctx, ispec.MediaTypeImageManifest, []byte(`{"schemaVersion":2}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range []string{"a", "b"} {
		if err := l.Tag(ctx, tag, desc); err != nil {
			t.Fatal(err)
		}
	}
	for _, tag := range []string{"a", "a"} {
		if err := l.Untag(ctx, tag); err != nil {
			t.Fatal(err)
		}
	}
	if tags, err := l.Tags(ctx); err != nil || !slices.Equal(tags, []string{"b"}) {
		t.Errorf("Tags after Untag = %v, %v, want b", tags, err)
	}
}
