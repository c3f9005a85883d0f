package transport_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/oci-plumbing/oci-plumbing/lib/transport"
)

// files are the names in a directory and what they hold.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string)
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		found[e.Name()] = string(data)
	}
	return found
}

func sameFiles(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	got := files(t, dir)
	for name, content := range want {
		if there, ok := got[name]; !ok || there != content {
			t.Errorf("%s is not as it was in %s", name, dir)
		}
		delete(got, name)
	}
	for name := range got {
		t.Errorf("%s has come into %s", name, dir)
	}
}

// A copy that is stopped while a layer arrives leaves the older image.
func TestStoppedCopyLeavesTheDirectory(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	stopped := errors.New("stopped")
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			stop(stopped)
			<-r.Context().Done()
			return
		}
		inner.ServeHTTP(w, r)
	}))
	defer server.Close()
	plain := false
	end := transport.Endpoint{TLSVerify: &plain}
	c := newCopier(t, transport.Options{Source: end, Destination: end})
	img, dir := sample(t), filepath.Join(t.TempDir(), "d")
	there := "docker://" + strings.TrimPrefix(server.URL, "http://") + "/x:1"
	mustCopy(t, c, "oci:"+img+":one", there)
	mustCopy(t, c, "oci:"+img+":one", "dir:"+dir)
	write(t, filepath.Join(dir, "mine"), "mine")
	before := files(t, dir)
	if _, err := c.Copy(ctx, there, "dir:"+dir); !errors.Is(err, stopped) {
		t.Fatalf("Copy = %v, want that it is stopped", err)
	}
	sameFiles(t, dir, before)
}

// What is undone gives way to what was there, but not what another copy has
// put there since.
func TestUndoInADirectory(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	img, work := sample(t), t.TempDir()
	other := sample(t)
	c := newCopier(t, transport.Options{Format: "oci"})
	docker := newCopier(t, transport.Options{Format: "v2s2"})
	dir := filepath.Join(work, "d")
	mustCopy(t, c, "oci:"+img+":one", "dir:"+dir)
	write(t, filepath.Join(dir, "mine"), "mine")
	first := files(t, dir)
	second, err := docker.Copy(ctx, "oci:"+other+":one", "dir:"+dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Undo(ctx); err != nil {
		t.Fatal(err)
	}
	sameFiles(t, dir, first)

	if second, err = docker.Copy(ctx, "oci:"+other+":one", "dir:"+dir); err != nil {
		t.Fatal(err)
	}
	third, err := c.Copy(ctx, "oci:"+img+":one", "dir:"+dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(second.Undo(ctx), third.Settle()); err != nil {
		t.Fatal(err)
	}
	sameFiles(t, dir, first)
}
