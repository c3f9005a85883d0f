package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// stamp is the time of entries that set none.
const stamp = 1_000_000_000

// tarEntry is one entry of a layer.
type tarEntry struct {
	tar.Header
	body string
}

func entryOf(kind byte, name string, mode int64) tarEntry {
	return tarEntry{Header: tar.Header{Typeflag: kind, Name: name, Mode: mode, ModTime: time.Unix(stamp, 0)}}
}

func file(name, content string) tarEntry {
	e := entryOf(tar.TypeReg, name, 0o644)
	e.body, e.Size = content, int64(len(content))
	return e
}

func dir(name string) tarEntry { return entryOf(tar.TypeDir, name+"/", 0o755) }

func symlink(name, target string) tarEntry {
	e := entryOf(tar.TypeSymlink, name, 0o777)
	e.Linkname = target
	return e
}

func hardlink(name, target string) tarEntry {
	e := entryOf(tar.TypeLink, name, 0o644)
	e.Linkname = target
	return e
}

func node(kind byte, name string, major, minor int64) tarEntry {
	e := entryOf(kind, name, 0o644)
	e.Devmajor, e.Devminor = major, minor
	return e
}

func (e tarEntry) mode(mode int64) tarEntry { e.Mode = mode; return e }

func (e tarEntry) owner(uid, gid int) tarEntry { e.Uid, e.Gid = uid, gid; return e }

func (e tarEntry) xattr(name, value string) tarEntry {
	if e.PAXRecords == nil {
		e.PAXRecords = make(map[string]string)
	}
	e.PAXRecords["SCHILY.xattr."+name] = value
	return e
}

// writeImage makes the image "base" in the layout in dir, by plain calls: a
// fault of lib/layout cannot hide itself. edit may change the config before it
// is written.
func writeImage(t testing.TB, dir string, edit func(*ispec.Image), layers ...[]tarEntry) {
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
	if edit != nil {
		edit(&config)
	}
	raw, err := json.Marshal(config)
	must(t, err)
	manifest.Config = writeBlob(t, dir, ispec.MediaTypeImageConfig, raw)
	writeManifest(t, dir, manifest)
}

// writeManifest stores a manifest and gives it the tag "base".
func writeManifest(t testing.TB, dir string, manifest any) {
	t.Helper()
	raw, err := json.Marshal(manifest)
	must(t, err)
	desc := writeBlob(t, dir, ispec.MediaTypeImageManifest, raw)
	desc.Annotations = map[string]string{ispec.AnnotationRefName: "base"}
	index := ispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ispec.MediaTypeImageIndex}
	name := filepath.Join(dir, ispec.ImageIndexFile)
	if data, err := os.ReadFile(name); err == nil {
		must(t, json.Unmarshal(data, &index))
	}
	index.Manifests = append(index.Manifests, desc)
	raw, err = json.Marshal(index)
	must(t, err)
	must(t, os.WriteFile(name, raw, 0o644))
	must(t, os.WriteFile(filepath.Join(dir, ispec.ImageLayoutFile), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
}

func archive(t testing.TB, entries []tarEntry) []byte {
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
