package layout_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/lib/layout"
)

func claimed(t *testing.T, dir string) (*layout.Layout, *layout.Claim) {
	t.Helper()
	l, c, err := layout.CreateClaimed(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return l, c
}

// dropper removes one blob.
func dropper(dir string, desc ispec.Descriptor) func() {
	return func() { _ = os.Remove(filepath.Join(dir, "blobs", "sha256", desc.Digest.Encoded())) }
}

// A layout that was made in vain goes; one that another writer uses stays,
// with all that the other may have found in it.
func TestAbandon(t *testing.T) {
	ctx := context.Background()
	put := func(l *layout.Layout) ispec.Descriptor {
		t.Helper()
		desc, err := l.PutBytes(ctx, ispec.MediaTypeImageManifest, []byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		return desc
	}
	t.Run("alone", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "new")
		l, claim := claimed(t, dir)
		claim.Abandon(dropper(dir, put(l)))
		claim.Release()
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
	})
	t.Run("used", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "new")
		maker, made := claimed(t, dir)
		desc := put(maker)
		other, used := claimed(t, dir)
		made.Abandon(dropper(dir, desc))
		made.Release()
		if err := other.Tag(ctx, "x", desc); err != nil {
			t.Error(err)
		}
		used.Release()
		if _, err := other.ReadBlob(ctx, desc, 10); err != nil {
			t.Errorf("what the other writer found is gone: %v", err)
		}
	})
	t.Run("found", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "old")
		_, first := claimed(t, dir)
		first.Release()
		_, second := claimed(t, dir)
		second.Abandon(func() {})
		second.Release()
		if _, err := layout.Open(dir); err != nil {
			t.Errorf("a layout that was there is gone: %v", err)
		}
	})
}

// Writers of which every second fails share new layouts, and no image is lost.
func TestAbandonRace(t *testing.T) {
	ctx := context.Background()
	for round := range 20 {
		dir := filepath.Join(t.TempDir(), strconv.Itoa(round))
		var group sync.WaitGroup
		for writer := range 4 {
			group.Go(func() {
				l, claim, err := layout.CreateClaimed(ctx, dir)
				if err != nil {
					t.Error(err)
					return
				}
				defer claim.Release()
				// All write the same blob: some find it.
				desc, err := l.PutBytes(ctx, ispec.MediaTypeImageManifest, []byte("{}"))
				if err != nil {
					t.Error(err)
					return
				}
				if writer%2 == 0 {
					claim.Abandon(dropper(dir, desc))
					_ = os.Remove(dir)
					return
				}
				if err := l.Tag(ctx, strconv.Itoa(writer), desc); err != nil {
					t.Error(err)
				}
				if _, err := l.ReadBlob(ctx, desc, 10); err != nil {
					t.Errorf("writer %d: %v", writer, err)
				}
			})
		}
		group.Wait()
		l, err := layout.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if index, err := l.Index(ctx); err != nil || len(index.Manifests) != 2 {
			t.Errorf("round %d: %+v, %v; want two tags", round, index, err)
		}
	}
}

// Both locks are of what a path leads to, by whatever links.
func TestClaimBySymlink(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	link := dir + "-link"
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	l, claim, err := layout.CreateClaimed(t.Context(), link)
	if err != nil {
		t.Fatal(err)
	}
	defer claim.Release()
	desc, err := l.PutBytes(t.Context(), ispec.MediaTypeImageManifest, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Tag(t.Context(), "x", desc); err != nil {
		t.Error(err)
	}
}
