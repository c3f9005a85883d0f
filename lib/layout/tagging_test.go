package layout

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// What named several descriptors names them again, byte for byte; what another
// writer has set meanwhile stays.
func TestTaggingUndo(t *testing.T) {
	ctx := context.Background()
	l, err := Create(ctx, t.TempDir())
	must(t, err)
	desc := func(n int) ispec.Descriptor {
		d, err := l.PutBytes(ctx, ispec.MediaTypeImageManifest, fmt.Appendf(nil, `{"schemaVersion":%d}`, n))
		must(t, err)
		return d
	}
	listed := func(n int, tag, more string) string {
		d := desc(n)
		return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d,"annotations":{%q:%q}%s}`, d.MediaType, d.Digest, d.Size, ispec.AnnotationRefName, tag, more)
	}
	path := filepath.Join(l.Dir(), indexFile)
	content := func() string {
		data, err := os.ReadFile(path)
		must(t, err)
		return string(data)
	}
	before := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s,%s,%s]}`, ispec.MediaTypeImageIndex,
		listed(1, "other", ""), listed(2, "m", `,"platform":{"architecture":"amd64","os":"linux"}`), listed(3, "m", `,"platform":{"architecture":"arm64","os":"linux"}`))
	for _, tag := range []string{"m", "new", ""} {
		must(t, os.WriteFile(path, []byte(before), 0o600))
		set, err := l.SetTag(ctx, tag, desc(4))
		must(t, err)
		must(t, set.Undo(ctx))
		if got := content(); got != before {
			t.Errorf("tag %q: after Undo: %s, want %s", tag, got, before)
		}
	}
	set, err := l.SetTag(ctx, "m", desc(4))
	must(t, err)
	must(t, l.Tag(ctx, "m", desc(5)))
	theirs := content()
	must(t, set.Undo(ctx))
	if got := content(); got != theirs {
		t.Errorf("after another writer's tag: %s, want %s", got, theirs)
	}
}
