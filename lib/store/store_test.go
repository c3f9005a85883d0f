package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
	"github.com/oci-plumbing/oci-plumbing/lib/store"
)

type notes struct{ Implied []string }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func key(text string) store.Key {
	return store.Key{Kind: store.Layer, Digest: digest.FromString(text)}
}

// directory extracts a layer of one file.
func directory(_ context.Context, dir string) (any, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	return notes{Implied: []string{"."}}, os.WriteFile(filepath.Join(dir, "file"), nil, 0o644)
}

func image(_ context.Context, dir string) (any, error) {
	return notes{}, os.WriteFile(dir, []byte("image"), 0o600)
}

func isEmpty(t *testing.T, dir string) bool {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	return len(entries) == 0
}

func TestFillOnceThenFind(t *testing.T) {
	root := filepath.Join(t.TempDir(), "state", "store")
	s := store.At(root, store.Form{})
	if _, ok, err := s.Lookup(key("a")); ok || err != nil {
		t.Fatalf("Lookup in an empty store = %v, %v", ok, err)
	}
	entry, made, err := s.Fill(t.Context(), key("a"), directory)
	must(t, err)
	want := filepath.Join(root, "layers", "sha256", key("a").Digest.Encoded())
	if !made || entry.Path != want || entry.Image {
		t.Errorf("Fill = %+v, %v; want the path %s", entry, made, want)
	}
	var n notes
	must(t, entry.Sidecar(&n))
	if len(n.Implied) != 1 {
		t.Errorf("notes = %+v", n)
	}
	_, made, err = s.Fill(t.Context(), key("a"), func(context.Context, string) (any, error) {
		return nil, errors.New("made twice")
	})
	if made || err != nil {
		t.Errorf("second Fill = %v, %v", made, err)
	}
	entry, _, err = s.Fill(t.Context(), key("b"), image)
	must(t, err)
	if !entry.Image || filepath.Ext(entry.Path) != ".erofs" {
		t.Errorf("Fill of an image = %+v", entry)
	}
	if !isEmpty(t, filepath.Join(root, "tmp")) {
		t.Error("tmp is not empty")
	}
	info, err := os.Stat(root)
	must(t, err)
	if info.Mode().Perm() != 0o700 {
		t.Errorf("mode of the store = %v", info.Mode())
	}
}

func TestFailedFillLeavesNothing(t *testing.T) {
	root := t.TempDir()
	s := store.At(root, store.Form{})
	refused := errors.New("refused")
	_, _, err := s.Fill(t.Context(), key("a"), func(ctx context.Context, dir string) (any, error) {
		_, err := directory(ctx, dir)
		must(t, err)
		return nil, refused
	})
	if !errors.Is(err, refused) {
		t.Errorf("Fill = %v", err)
	}
	if _, ok, err := s.Lookup(key("a")); ok || err != nil {
		t.Errorf("Lookup = %v, %v", ok, err)
	}
	if !isEmpty(t, filepath.Join(root, "tmp")) {
		t.Error("tmp is not empty")
	}
	if _, made, err := s.Fill(t.Context(), key("a"), directory); !made || err != nil {
		t.Errorf("Fill after a failure = %v, %v", made, err)
	}
}

func TestBadDigestsAreNoPaths(t *testing.T) {
	s := store.At(t.TempDir(), store.Form{})
	for _, d := range []string{"", "sha256:../../x", "sha256:ABC", "md5:d41d8cd98f00b204e9800998ecf8427e"} {
		if _, _, err := s.Lookup(store.Key{Kind: store.Layer, Digest: digest.Digest(d)}); err == nil {
			t.Errorf("Lookup(%q) = nil error", d)
		}
	}
}

func TestFormsAreApart(t *testing.T) {
	root := t.TempDir()
	own := store.At(root, store.Form{})
	user := store.At(root, store.Form{UserXattr: true, UIDMap: idmap.Map{{Host: 1000, Size: 1}, {Container: 1, Host: 100000, Size: 65536}}})
	_, _, err := own.Fill(t.Context(), key("a"), directory)
	must(t, err)
	if _, ok, err := user.Lookup(key("a")); ok || err != nil {
		t.Errorf("a layer of another form was found: %v, %v", ok, err)
	}
	entry, _, err := user.Fill(t.Context(), key("a"), directory)
	must(t, err)
	want := filepath.Join(root, "layers-user_u0-1000-1_u1-100000-65536", "sha256", key("a").Digest.Encoded())
	if entry.Path != want {
		t.Errorf("path = %s, want %s", entry.Path, want)
	}
	entries, err := own.Entries()
	must(t, err)
	if len(entries) != 2 {
		t.Errorf("Entries = %v, want both", entries)
	}
}

func TestParallelFillsMakeALayerOnce(t *testing.T) {
	root := t.TempDir()
	var count atomic.Int32
	var group sync.WaitGroup
	for range 32 {
		group.Go(func() {
			s := store.At(root, store.Form{})
			release, err := s.Use(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			defer release()
			for i := range 3 {
				_, made, err := s.Fill(t.Context(), key(fmt.Sprint(i)), directory)
				if err != nil {
					t.Error(err)
				}
				if made {
					count.Add(1)
				}
			}
		})
	}
	group.Wait()
	if count.Load() != 3 {
		t.Errorf("%d layers made, want 3", count.Load())
	}
}

func TestEvict(t *testing.T) {
	root, bundle := t.TempDir(), t.TempDir()
	s := store.At(root, store.Form{})
	for _, name := range []string{"needed", "mounted", "idle"} {
		_, _, err := s.Fill(t.Context(), key(name), directory)
		must(t, err)
	}
	_, _, err := s.Fill(t.Context(), key("image"), image)
	must(t, err)
	must(t, s.AddRoot(bundle))
	gone := filepath.Join(t.TempDir(), "gone")
	must(t, s.AddRoot(gone))
	left := filepath.Join(root, "tmp", "work-dead")
	must(t, os.MkdirAll(filepath.Join(left, "layer"), 0o700))

	mounted, _, err := s.Lookup(key("mounted"))
	must(t, err)
	var removed []string
	evict := store.Eviction{
		Needs: func(_ context.Context, dir string) ([]store.Key, error) {
			if dir != bundle {
				t.Errorf("asked about %s", dir)
			}
			return []store.Key{key("needed")}, nil
		},
		Begin:   func() error { return nil },
		InUse:   func(path string) bool { return path == mounted.Path },
		Removed: func(e store.Entry) error { removed = append(removed, e.Path); return nil },
		Dry:     true,
	}
	must(t, s.Evict(t.Context(), evict))
	if len(removed) != 2 {
		t.Errorf("dry run: %v", removed)
	}
	if entries, err := s.Entries(); err != nil || len(entries) != 4 {
		t.Errorf("after the dry run: %v, %v", entries, err)
	}

	evict.Dry = false
	must(t, s.Evict(t.Context(), evict))
	entries, err := s.Entries()
	must(t, err)
	if len(entries) != 2 {
		t.Errorf("after eviction: %v", entries)
	}
	for _, name := range []string{"tmp"} {
		if !isEmpty(t, filepath.Join(root, name)) {
			t.Errorf("%s is not empty", name)
		}
	}
	names, err := os.ReadDir(filepath.Join(root, "layers", "sha256"))
	must(t, err)
	if len(names) != 6 {
		t.Errorf("%v, want directory, notes and lock of two layers", names)
	}
	links, err := os.ReadDir(filepath.Join(root, "roots"))
	must(t, err)
	if len(links) != 1 {
		t.Errorf("roots = %v", links)
	}
}

func TestEvictWaitsForUsers(t *testing.T) {
	s := store.At(t.TempDir(), store.Form{})
	release, err := s.Use(t.Context())
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	begun := 0
	evict := store.Eviction{Begin: func() error { begun++; return nil }}
	err = s.Evict(ctx, evict)
	if err == nil || begun > 0 {
		t.Errorf("Evict = %v while the store is in use, and began %d times", err, begun)
	}
	release()
	must(t, s.Evict(t.Context(), evict))
	if begun != 1 {
		t.Errorf("Evict began %d times", begun)
	}
}
