package layout

import (
	"context"
	"os"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestLinkBlob(t *testing.T) {
	ctx := context.Background()
	base := t.TempDir()
	from, err := Create(ctx, base+"/from")
	if err != nil {
		t.Fatal(err)
	}
	to, err := Create(ctx, base+"/to")
	if err != nil {
		t.Fatal(err)
	}
	desc, err := from.PutBytes(ctx, ispec.MediaTypeImageLayer, []byte("one blob in two layouts"))
	if err != nil {
		t.Fatal(err)
	}
	// A damaged blob of that name is replaced.
	path, err := to.BlobPath(desc.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := from.OpenBlob(desc)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := to.LinkBlob(ctx, desc, file); err != nil {
		t.Fatal(err)
	}
	a, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(a, b) {
		t.Error("the blob was copied, not linked")
	}
	if err := to.LinkBlob(ctx, ispec.Descriptor{Digest: digest.Digest("sha256:../x"), Size: 1}, file); err == nil {
		t.Error("LinkBlob with a malformed digest succeeded")
	}
}
