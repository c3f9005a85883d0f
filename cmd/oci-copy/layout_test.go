package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// testLayout makes an OCI layout with nothing of lib/layout.
type testLayout struct {
	t     testing.TB
	dir   string
	index ispec.Index
}

func newLayout(t testing.TB, dir string) *testLayout {
	t.Helper()
	l := &testLayout{t: t, dir: dir}
	l.index.SchemaVersion = 2
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		t.Fatal(err)
	}
	l.write("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	return l
}

func (l *testLayout) write(name string, data []byte) {
	l.t.Helper()
	if err := os.WriteFile(filepath.Join(l.dir, name), data, 0o644); err != nil {
		l.t.Fatal(err)
	}
}

func (l *testLayout) blob(mediaType string, data []byte) ispec.Descriptor {
	l.t.Helper()
	desc := ispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	l.write(filepath.Join("blobs", "sha256", desc.Digest.Encoded()), data)
	return desc
}

func (l *testLayout) json(mediaType string, v any) ispec.Descriptor {
	l.t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		l.t.Fatal(err)
	}
	return l.blob(mediaType, data)
}

// image makes an image with one layer per content, each with one file.
func (l *testLayout) image(platform ispec.Platform, compress bool, contents ...string) ispec.Descriptor {
	l.t.Helper()
	config := ispec.Image{Platform: platform, RootFS: ispec.RootFS{Type: "layers"}}
	m := ispec.Manifest{MediaType: ispec.MediaTypeImageManifest}
	m.SchemaVersion = 2
	for _, content := range contents {
		plain := oneFile(l.t, content)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(plain))
		if !compress {
			m.Layers = append(m.Layers, l.blob(ispec.MediaTypeImageLayer, plain))
			continue
		}
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write(plain); err != nil {
			l.t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			l.t.Fatal(err)
		}
		m.Layers = append(m.Layers, l.blob(ispec.MediaTypeImageLayerGzip, b.Bytes()))
	}
	m.Config = l.json(ispec.MediaTypeImageConfig, config)
	return l.json(ispec.MediaTypeImageManifest, m)
}

func oneFile(t testing.TB, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "file", Mode: 0o644, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (l *testLayout) tag(tag string, desc ispec.Descriptor) {
	l.t.Helper()
	desc.Annotations = map[string]string{ispec.AnnotationRefName: tag}
	l.index.Manifests = append(l.index.Manifests, desc)
	data, err := json.Marshal(l.index)
	if err != nil {
		l.t.Fatal(err)
	}
	l.write("index.json", data)
}
