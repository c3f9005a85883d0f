// Package testimage makes images for tests: layers in memory, layouts on disk.
// It writes layouts with plain calls of its own, so that a fault of lib/layout
// cannot hide itself.
package testimage

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Time is the modification time of entries that set none.
var Time = time.Unix(1_000_000_000, 0).UTC()

// Compression is that of a layer.
type Compression string

// The compressions.
const (
	Gzip  Compression = "gzip"
	Zstd  Compression = "zstd"
	Plain Compression = "plain"
)

// Layer is one layer: entries, or ready bytes of a tar.
type Layer struct {
	Entries     []Entry
	Tar         []byte
	Compression Compression // Gzip when empty
	MediaType   string      // that of the compression when empty
}

// Image is an image to be written.
type Image struct {
	// Layers are the entries of each layer, lowest first.
	Layers [][]Entry
	// Raw are layers in detail; they come after Layers.
	Raw []Layer
	// Config changes the config before it is written; may be nil.
	Config func(*ispec.Image)
	// Manifest changes the manifest before it is written; may be nil.
	Manifest func(*ispec.Manifest)
	// Platform is linux on the host's architecture when zero.
	Platform ispec.Platform
}

// Write adds the image to the layout in dir, which it makes when it is not
// there, under the tag, and returns the descriptor of the manifest.
func Write(t testing.TB, dir, tag string, img Image) ispec.Descriptor {
	t.Helper()
	platform := img.Platform
	if platform.OS == "" {
		platform = host()
	}
	config := ispec.Image{Platform: platform, RootFS: ispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{}}}
	config.Created = &Time
	config.Config.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	config.Config.Cmd = []string{"sh"}
	manifest := ispec.Manifest{MediaType: ispec.MediaTypeImageManifest, Layers: []ispec.Descriptor{}}
	manifest.SchemaVersion = 2
	var layers []Layer
	for _, entries := range img.Layers {
		layers = append(layers, Layer{Entries: entries})
	}
	for _, layer := range append(layers, img.Raw...) {
		desc, diffID := writeLayer(t, dir, layer)
		manifest.Layers = append(manifest.Layers, desc)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, diffID)
		config.History = append(config.History, ispec.History{Created: &Time, CreatedBy: "testimage"})
	}
	if img.Config != nil {
		img.Config(&config)
	}
	manifest.Config = Blob(t, dir, ispec.MediaTypeImageConfig, encode(t, config))
	if img.Manifest != nil {
		img.Manifest(&manifest)
	}
	desc := Blob(t, dir, manifest.MediaType, encode(t, manifest))
	desc.Platform = &platform
	Index(t, dir, tag, desc)
	return desc
}

func writeLayer(t testing.TB, dir string, layer Layer) (ispec.Descriptor, digest.Digest) {
	t.Helper()
	plain := layer.Tar
	if plain == nil {
		plain = Tar(t, layer.Entries...)
	}
	data, mediaType := Compress(t, plain, layer.Compression)
	if layer.MediaType != "" {
		mediaType = layer.MediaType
	}
	return Blob(t, dir, mediaType, data), digest.FromBytes(plain)
}

// Compress compresses a tar, and tells the media type of the result.
func Compress(t testing.TB, plain []byte, c Compression) (data []byte, mediaType string) {
	t.Helper()
	var b bytes.Buffer
	switch c {
	case Plain:
		return plain, ispec.MediaTypeImageLayer
	case Zstd:
		w, err := zstd.NewWriter(&b)
		check(t, err)
		_, err = w.Write(plain)
		check(t, err)
		check(t, w.Close())
		return b.Bytes(), ispec.MediaTypeImageLayerZstd
	default:
		w := gzip.NewWriter(&b)
		_, err := w.Write(plain)
		check(t, err)
		check(t, w.Close())
		return b.Bytes(), ispec.MediaTypeImageLayerGzip
	}
}

// Blob stores data as a blob of the layout.
func Blob(t testing.TB, dir, mediaType string, data []byte) ispec.Descriptor {
	t.Helper()
	sum := sha256.Sum256(data)
	blobs := filepath.Join(dir, "blobs", "sha256")
	check(t, os.MkdirAll(blobs, 0o755))
	check(t, os.WriteFile(filepath.Join(blobs, hex.EncodeToString(sum[:])), data, 0o644))
	return ispec.Descriptor{MediaType: mediaType, Digest: digest.NewDigestFromBytes(digest.SHA256, sum[:]), Size: int64(len(data))}
}

// Index lists the descriptor in index.json under the tag, or without one when
// it is empty. The same tag twice stays there twice.
func Index(t testing.TB, dir, tag string, desc ispec.Descriptor) {
	t.Helper()
	check(t, os.MkdirAll(dir, 0o755))
	check(t, os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
	path := filepath.Join(dir, "index.json")
	index := ispec.Index{MediaType: ispec.MediaTypeImageIndex}
	index.SchemaVersion = 2
	if data, err := os.ReadFile(path); err == nil {
		check(t, json.Unmarshal(data, &index))
	}
	if tag != "" {
		desc.Annotations = map[string]string{ispec.AnnotationRefName: tag}
	}
	index.Manifests = append(index.Manifests, desc)
	check(t, os.WriteFile(path, encode(t, index), 0o644))
}

// Entry is one entry of a layer.
type Entry struct {
	Header tar.Header
	Body   []byte
}

// Tar writes the entries as a tar. It does not check them: a test may want
// what no honest writer makes.
func Tar(t testing.TB, entries ...Entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := e.Header
		h.Size = int64(len(e.Body))
		check(t, w.WriteHeader(&h))
		_, err := w.Write(e.Body)
		check(t, err)
	}
	check(t, w.Close())
	return b.Bytes()
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	check(t, err)
	return data
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
