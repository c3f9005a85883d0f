package inflate_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/oci-plumbing/oci-plumbing/internal/testimage"
)

// TestRealLayers decodes the layers of real images.
func TestRealLayers(t *testing.T) {
	blobs, err := filepath.Glob(filepath.Join(testimage.Shared(t, "images"), "*/blobs/sha256/*"))
	if err != nil {
		t.Fatal(err)
	}
	layers := 0
	for _, path := range blobs {
		blob, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.HasPrefix(blob, []byte("\x1f\x8b")) {
			agree(t, blob, rand.New(rand.NewPCG(17, 18)))
			layers++
		}
	}
	if layers == 0 {
		t.Error("the images have no gzip layer")
	}
}
