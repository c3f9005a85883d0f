package layout

import (
	"context"
	"errors"
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

// Retag tells what the tag names now, and can leave others with the tag.
func TestRetag(t *testing.T) {
	ctx := context.Background()
	l, err := Create(ctx, t.TempDir())
	must(t, err)
	blobs := make([]ispec.Descriptor, 3)
	for i := range blobs {
		blobs[i], err = l.PutBytes(ctx, ispec.MediaTypeImageManifest, fmt.Appendf(nil, `{"schemaVersion":%d}`, i))
		must(t, err)
	}
	set := func(place int, desc ispec.Descriptor, want ...ispec.Descriptor) *Tagging {
		t.Helper()
		set, err := l.Retag(ctx, "m", func(now []ispec.Descriptor) (ispec.Descriptor, int, error) {
			if len(now) != len(want) {
				t.Errorf("Retag tells %d descriptors, want %d", len(now), len(want))
			}
			for i, d := range now {
				if d.Digest != want[i].Digest {
					t.Errorf("descriptor %d is %s, want %s", i, d.Digest, want[i].Digest)
				}
			}
			return desc, place, nil
		})
		must(t, err)
		return set
	}
	two := fmt.Sprintf(`{"schemaVersion":2,"manifests":[%s,%s]}`, listedAs(blobs[0], "m"), listedAs(blobs[1], "m"))
	must(t, os.WriteFile(filepath.Join(l.Dir(), indexFile), []byte(two), 0o600))
	one := set(1, blobs[2], blobs[0], blobs[1])
	all := set(-1, blobs[1], blobs[0], blobs[2])
	must(t, all.Undo(ctx))
	must(t, one.Undo(ctx))
	set(-1, blobs[2], blobs[0], blobs[1])
	set(0, blobs[0], blobs[2])
	boom := errors.New("boom")
	if _, err := l.Retag(ctx, "m", func([]ispec.Descriptor) (ispec.Descriptor, int, error) { return blobs[1], -1, boom }); !errors.Is(err, boom) {
		t.Errorf("Retag = %v, want the error of next", err)
	}
	set(-1, blobs[0], blobs[0])
}

func listedAs(d ispec.Descriptor, tag string) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d,"annotations":{%q:%q}}`, d.MediaType, d.Digest, d.Size, ispec.AnnotationRefName, tag)
}
