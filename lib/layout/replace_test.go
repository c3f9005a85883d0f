package layout

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// Writers replace a blob that is there by the same bytes. Readers must not
// mind: with --jobs, copies that share a layer do both at once.
func TestReadWhileTheBlobIsReplaced(t *testing.T) {
	l, err := Create(ctx, t.TempDir())
	must(t, err)
	content := []byte("shared by all")
	put := func() error {
		_, err := l.PutBytes(ctx, ispec.MediaTypeImageLayer, content)
		return err
	}
	must(t, put())
	done := make(chan error)
	go func() {
		var err error
		for range 300 {
			err = errors.Join(err, put())
		}
		done <- err
	}()
	desc := ispec.Descriptor{Digest: digest.FromBytes(content), Size: int64(len(content))}
	for {
		select {
		case err := <-done:
			must(t, err)
			return
		default:
			if _, err := l.ReadBlob(ctx, desc, 100); err != nil {
				t.Error("ReadBlob:", err)
				must(t, <-done)
				return
			}
		}
	}
}

// A layout ends where its index.json does, and then stays as it is.
func TestFullLayout(t *testing.T) {
	dir := t.TempDir()
	must(t, writer(dir, "a"))
	path := filepath.Join(dir, indexFile)
	filling := strings.Repeat("x", MaxDocument-1000)
	must(t, os.WriteFile(path, []byte(`{"schemaVersion":2,"manifests":[],"annotations":{"k":"`+filling+`"}}`), 0o600))
	l := open(t, dir)
	desc, err := l.PutBytes(ctx, ispec.MediaTypeImageManifest, []byte(`{}`))
	must(t, err)
	for n := range 100 {
		if err = l.Tag(ctx, fmt.Sprintf("t%d", n), desc); err != nil {
			break
		}
	}
	if err == nil || !strings.Contains(err.Error(), "the layout is full") || len(fault.Hints(err)) == 0 {
		t.Errorf("a tag too many: %v, want an error with a hint that the layout is full", err)
	}
	if tags, err := l.Tags(ctx); err != nil || len(tags) == 0 {
		t.Errorf("afterwards: %q, %v, want the tags before", tags, err)
	}
}
