package layout

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// What a layout remembers must not hide what others write.
func TestIndexCache(t *testing.T) {
	dir := t.TempDir()
	must(t, writer(dir, "a"))
	var cache IndexCache
	cached, err := Open(dir, Remember(&cache))
	must(t, err)
	plain := open(t, dir)
	same := func(when string) {
		t.Helper()
		want, err := plain.Index(ctx)
		must(t, err)
		got, err := cached.Index(ctx)
		must(t, err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-without +with the cache):\n%s", when, diff)
		}
	}
	tag := func(l *Layout, name string) *Tagging {
		t.Helper()
		desc, err := l.PutBytes(ctx, ispec.MediaTypeImageManifest, []byte(`{"tag":"`+name+`"}`))
		must(t, err)
		desc.Platform = &ispec.Platform{OS: "linux", Architecture: "arm64"}
		desc.Annotations = map[string]string{"k": "v"}
		set, err := l.SetTag(ctx, name, desc)
		must(t, err)
		return set
	}
	same("at first")
	b := tag(cached, "b")
	same("after its own tag")
	tag(plain, "c")
	same("after another's tag")
	tag(cached, "a")
	same("after moving a tag")
	must(t, b.Undo(ctx))
	same("after removing a tag")
	if diff := cmp.Diff([]string{"c", "a"}, verify(t, dir)); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	index, err := cached.Index(ctx)
	must(t, err)
	index.Manifests[0].Digest = "changed"
	same("after a caller changed its list")
	must(t, os.WriteFile(filepath.Join(dir, indexFile), []byte(`{"schemaVersion":2,"manifests":[],"manifests":[]}`), 0o600))
	if _, err := cached.Index(ctx); err == nil {
		t.Error("a malformed index.json is not refused")
	}
}
