package bundle_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
)

// What is written while it is being written back is published as ever.
func TestWriteBack(t *testing.T) {
	final := filepath.Join(t.TempDir(), "b")
	staging, err := bundle.Stage(final)
	if err != nil {
		t.Fatal(err)
	}
	stop := staging.WriteBack()
	for begun, n := time.Now(), 0; time.Since(begun) < 500*time.Millisecond; n++ {
		if err := os.WriteFile(filepath.Join(staging.Dir, "file"), make([]byte, n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := staging.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(final, "file")); err != nil {
		t.Error(err)
	}
}
