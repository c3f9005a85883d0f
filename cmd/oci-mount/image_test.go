package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// stamp is the time of entries that set none.
var stamp = time.Unix(1_000_000_000, 0)

// entry is one entry of a layer.
type entry struct {
	tar.Header
	body string
}

func file(name, content string) entry {
	return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: stamp}, content}
}

func directory(name string, mode int64) entry {
	return entry{Header: tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode, ModTime: stamp}}
}

func symlink(name, target string) entry {
	return entry{Header: tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777, ModTime: stamp}}
}

func hardlink(name, target string) entry {
	return entry{Header: tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, ModTime: stamp}}
}

func whiteout(name string) entry { return file(path.Join(path.Dir(name), ".wh."+path.Base(name)), "") }

func opaque(dir string) entry { return file(path.Join(dir, ".wh..wh..opq"), "") }

func (e entry) owner(uid, gid int) entry { e.Uid, e.Gid = uid, gid; return e }

func (e entry) at(seconds int64) entry { e.ModTime = time.Unix(seconds, 0); return e }

func (e entry) xattr(name, value string) entry {
	e.PAXRecords = map[string]string{"SCHILY.xattr." + name: value}
	return e
}

// writeImage adds an image to the layout in dir, by plain calls: a fault of
// lib/layout cannot hide itself.
func writeImage(t testing.TB, dir, tag string, layers ...[]entry) {
	t.Helper()
	config := ispec.Image{
		Platform: ispec.Platform{OS: "linux", Architecture: runtime.GOARCH},
		RootFS:   ispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{}},
	}
	manifest := ispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ispec.MediaTypeImageManifest, Layers: []ispec.Descriptor{}}
	for _, entries := range layers {
		plain := archive(t, entries)
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		_, err := w.Write(plain)
		must(t, err)
		must(t, w.Close())
		manifest.Layers = append(manifest.Layers, writeBlob(t, dir, ispec.MediaTypeImageLayerGzip, packed.Bytes()))
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(plain))
	}
	manifest.Config = writeBlob(t, dir, ispec.MediaTypeImageConfig, encode(t, config))
	desc := writeBlob(t, dir, manifest.MediaType, encode(t, manifest))
	desc.Annotations = map[string]string{ispec.AnnotationRefName: tag}

	index := ispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ispec.MediaTypeImageIndex}
	name := filepath.Join(dir, ispec.ImageIndexFile)
	if data, err := os.ReadFile(name); err == nil {
		must(t, json.Unmarshal(data, &index))
	}
	index.Manifests = append(index.Manifests, desc)
	must(t, os.WriteFile(name, encode(t, index), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, ispec.ImageLayoutFile), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
}

func archive(t testing.TB, entries []entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		must(t, w.WriteHeader(&e.Header))
		_, err := w.Write([]byte(e.body))
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

func writeBlob(t testing.TB, dir, mediaType string, data []byte) ispec.Descriptor {
	t.Helper()
	desc := ispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	blobs := filepath.Join(dir, ispec.ImageBlobsDir, "sha256")
	must(t, os.MkdirAll(blobs, 0o755))
	must(t, os.WriteFile(filepath.Join(blobs, desc.Digest.Encoded()), data, 0o644))
	return desc
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	must(t, err)
	return data
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
