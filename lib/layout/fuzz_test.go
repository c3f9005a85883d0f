package layout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// FuzzResolve reads a layout of three documents that are whatever it is given.
// In the index %M, and in the manifest %C, stand for the descriptor members
// that make the next document found: without them no mutation would get past
// the first digest. What is returned is an image whose parts fit together;
// what is not has its kind.
func FuzzResolve(f *testing.F) {
	const (
		index    = `{"schemaVersion":2,"manifests":[{%M,"mediaType":"application/vnd.oci.image.manifest.v1+json","platform":{"os":"linux","architecture":"amd64"},"annotations":{"org.opencontainers.image.ref.name":"t"}}]}`
		manifest = `{"schemaVersion":2,"config":{%C,"mediaType":"application/vnd.oci.image.config.v1+json"},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0}]}`
		config   = `{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]}}`
	)
	f.Add([]byte(index), []byte(manifest), []byte(config))
	f.Add([]byte(`{"manifests":null}`), []byte(manifest), []byte(config))
	f.Add([]byte(index), []byte(index), []byte(config))
	f.Add([]byte(index), []byte(manifest), []byte(`{"rootfs":{"diff_ids":[]},"history":[{"empty_layer":true}]}`))
	f.Fuzz(func(t *testing.T, index, manifest, config []byte) {
		manifest = bytes.ReplaceAll(manifest, []byte("%C"), members(config))
		index = bytes.ReplaceAll(index, []byte("%M"), members(manifest))
		dir := t.TempDir()
		blobs := filepath.Join(dir, "blobs", "sha256")
		must(t, os.MkdirAll(blobs, 0o700))
		for name, data := range map[string][]byte{
			filepath.Join(dir, "oci-layout"):                           []byte(`{"imageLayoutVersion":"1.0.0"}`),
			filepath.Join(dir, "index.json"):                           index,
			filepath.Join(blobs, digest.FromBytes(manifest).Encoded()): manifest,
			filepath.Join(blobs, digest.FromBytes(config).Encoded()):   config,
		} {
			must(t, os.WriteFile(name, data, 0o600))
		}
		l, err := Open(dir)
		must(t, err)
		image, err := l.Resolve(context.Background(), Reference{Dir: dir, Tag: "t"}, Platform{OS: "linux", Architecture: "amd64"})
		switch {
		case errors.Is(err, fault.ErrRefused), errors.Is(err, fault.ErrNotFound):
		case err != nil:
			t.Fatalf("Resolve = %v, which has no kind", err)
		case len(image.Manifest.Layers) != len(image.Config.RootFS.DiffIDs):
			t.Fatalf("%d layers and %d diff_ids", len(image.Manifest.Layers), len(image.Config.RootFS.DiffIDs))
		case digest.FromBytes(image.ConfigRaw) != image.Manifest.Config.Digest:
			t.Fatalf("the config %q is not that of %s", image.ConfigRaw, image.Manifest.Config.Digest)
		}
	})
}

func members(document []byte) []byte {
	return fmt.Appendf(nil, `"digest":"%s","size":%d`, digest.FromBytes(document), len(document))
}
