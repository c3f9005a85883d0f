package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/internal/testimage"
)

// packing is how the blob of a layer of a test image is made.
type packing struct {
	mediaType string
	pack      func(t *testing.T, plain []byte) []byte
}

func plainly(_ *testing.T, plain []byte) []byte { return plain }

func gzipped(t *testing.T, plain []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(plain)
	must(t, err)
	must(t, w.Close())
	return b.Bytes()
}

func zstandard(t *testing.T, plain []byte) []byte {
	w, err := zstd.NewWriter(nil)
	must(t, err)
	return w.EncodeAll(plain, nil)
}

// twice packs two halves as two members or frames.
func twice(pack func(*testing.T, []byte) []byte) func(*testing.T, []byte) []byte {
	return func(t *testing.T, plain []byte) []byte {
		half := len(plain) / 2
		return append(pack(t, plain[:half]), pack(t, plain[half:])...)
	}
}

var asGzip = packing{ispec.MediaTypeImageLayerGzip, gzipped}

// testLayer is a layer in the short form: d/ f=content a->target h=>target.
type testLayer struct {
	text string
	packing
}

// archive makes the tar of a layer in the short form.
func archive(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for word := range strings.FieldsSeq(text) {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: word, Mode: 0o644, ModTime: time.Unix(1_000_000_000, 0)}
		content := ""
		if name, target, ok := strings.Cut(word, "=>"); ok {
			h.Typeflag, h.Name, h.Linkname = tar.TypeLink, name, target
		} else if name, target, ok := strings.Cut(word, "->"); ok {
			h.Typeflag, h.Name, h.Linkname, h.Mode = tar.TypeSymlink, name, target, 0o777
		} else if name, body, ok := strings.Cut(word, "="); ok {
			h.Name, h.Size, content = name, int64(len(body)), body
		} else if strings.HasSuffix(word, "/") {
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		}
		must(t, w.WriteHeader(h))
		_, err := w.Write([]byte(content))
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

// writeImage adds an image to the layout in dir, by plain calls: a fault of
// lib/layout cannot hide itself.
func writeImage(t *testing.T, dir, tag string, platform ispec.Platform, layers ...testLayer) {
	t.Helper()
	config := ispec.Image{Platform: platform, RootFS: ispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{}}}
	manifest := ispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ispec.MediaTypeImageManifest, Layers: []ispec.Descriptor{}}
	for _, l := range layers {
		plain := archive(t, l.text)
		manifest.Layers = append(manifest.Layers, writeBlob(t, dir, l.mediaType, l.pack(t, plain)))
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(plain))
	}
	manifest.Config = writeBlob(t, dir, ispec.MediaTypeImageConfig, encode(t, config))
	desc := writeBlob(t, dir, manifest.MediaType, encode(t, manifest))
	desc.Platform = &platform
	desc.Annotations = map[string]string{ispec.AnnotationRefName: tag}
	index := ispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ispec.MediaTypeImageIndex}
	if data, err := os.ReadFile(filepath.Join(dir, "index.json")); err == nil {
		must(t, json.Unmarshal(data, &index))
	}
	index.Manifests = append(index.Manifests, desc)
	must(t, os.WriteFile(filepath.Join(dir, "index.json"), encode(t, index), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
}

func writeBlob(t *testing.T, dir, mediaType string, data []byte) ispec.Descriptor {
	t.Helper()
	d := digest.FromBytes(data)
	blobs := filepath.Join(dir, "blobs", "sha256")
	must(t, os.MkdirAll(blobs, 0o755))
	must(t, os.WriteFile(filepath.Join(blobs, d.Encoded()), data, 0o644))
	return ispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	must(t, err)
	return data
}

// writeImages makes the images that the scripts name by their tags.
func writeImages(t *testing.T, dir string) {
	t.Helper()
	host := ispec.Platform{OS: "linux", Architecture: runtime.GOARCH}
	docker := "application/vnd.docker.image.rootfs.diff.tar.gzip"
	base := testLayer{"./ etc/ etc/passwd=root:x:0:0::/:/bin/sh etc/gone=x bin/ bin/sh=x bin/ash=>bin/sh s->etc", asGzip}
	top := testLayer{"etc/.wh.gone etc/new=n deep/er/file=y", asGzip}
	writeImage(t, dir, "one", host, base)
	writeImage(t, dir, "two", host, base, top)
	writeImage(t, dir, "mixed", host,
		testLayer{base.text, packing{ispec.MediaTypeImageLayer, plainly}},
		testLayer{top.text, packing{ispec.MediaTypeImageLayerZstd, zstandard}},
		testLayer{"a=1", packing{docker, gzipped}},
		testLayer{"b=2", packing{ispec.MediaTypeImageLayerGzip, twice(gzipped)}},
		testLayer{"c=3", packing{ispec.MediaTypeImageLayerZstd, twice(zstandard)}},
		testLayer{"d=4", packing{ispec.MediaTypeImageLayerGzip, func(t *testing.T, plain []byte) []byte {
			return append(gzipped(t, plain), make([]byte, 1000)...)
		}}},
	)
	writeImage(t, dir, "lies", host, testLayer{"a=1", packing{ispec.MediaTypeImageLayerGzip, zstandard}})
	writeImage(t, dir, "junk", host, testLayer{"a=1", packing{ispec.MediaTypeImageLayerGzip, func(t *testing.T, plain []byte) []byte {
		return append(gzipped(t, plain), "junk"...)
	}}})
	writeImage(t, dir, "xz", host, testLayer{"a=1", packing{ispec.MediaTypeImageLayer + "+xz", plainly}})
	writeImage(t, dir, "elsewhere", ispec.Platform{OS: "plan9", Architecture: "mips"}, base)
	writeImage(t, dir, "links", host, testLayer{"dir/ dir/a=1 link->dir", asGzip}, testLayer{"link/ link/b=2", asGzip})
	writeImage(t, dir, "through", host, testLayer{"etc/ s->/etc", asGzip}, testLayer{"s/file=1", asGzip})
	writeImage(t, dir, "empty", host)
	testimage.Write(t, dir, "owned", testimage.Image{Layers: [][]testimage.Entry{{
		testimage.Dir("d", testimage.Owner(1000, 1001), testimage.Mode(0o2775)),
		testimage.File("d/su", "s", testimage.Mode(0o4755)),
		testimage.File("d/f", "f", testimage.Owner(1000, 5)),
		testimage.Hardlink("d/g", "d/f"),
		testimage.Symlink("s", "d", testimage.Owner(5, 1000)),
		testimage.File("cap", "c", testimage.Owner(5, 5), testimage.Xattr("security.capability", "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")),
	}}})
	testimage.Write(t, dir, "bytes", testimage.Image{Layers: [][]testimage.Entry{{testimage.Char("n\xffu", 1, 3)}}})
	testimage.Write(t, dir, "private", testimage.Image{Layers: [][]testimage.Entry{{
		testimage.Dir(".", testimage.Mode(0o700)), testimage.File("f", "f"),
	}}})
	writeLocked(t, dir)
}

// writeLocked makes the image "locked": what an ordinary user cannot make, or
// cannot write to once he has made it.
func writeLocked(t *testing.T, dir string) {
	t.Helper()
	acl := "\x02\x00\x00\x00" + // version 2, then tag, permissions, id
		"\x01\x00\x07\x00\xff\xff\xff\xff" + "\x04\x00\x05\x00\xff\xff\xff\xff" + "\x20\x00\x05\x00\xff\xff\xff\xff"
	naming := acl[:12] + "\x02\x00\x04\x00\x05\x00\x00\x00" + acl[12:20] + "\x10\x00\x05\x00\xff\xff\xff\xff" + acl[20:]
	testimage.Write(t, dir, "locked", testimage.Image{Layers: [][]testimage.Entry{{
		testimage.Dir("ro", testimage.Mode(0o555), testimage.Owner(3, 4)),
		testimage.File("ro/gone", "g"),
		testimage.File("ro/changed", "old", testimage.Mode(0o400)),
		testimage.Dir("ro/sub", testimage.Mode(0o500)),
		testimage.File("ro/sub/owned", "o", testimage.Mode(0o444), testimage.Owner(5, 6), testimage.Xattr("user.kept", "k")),
		testimage.File("none", "n", testimage.Mode(0), testimage.Owner(7, 0)),
		testimage.Dir("dev"),
		testimage.Char("dev/null", 1, 3, testimage.Owner(0, 5), testimage.MTime(time.Unix(-2, 7e8))),
		testimage.Hardlink("dev/nil", "dev/null"),
		testimage.Block("dev/sda", 8, 0),
		testimage.Char("implied/by/device", 5, 1),
		testimage.Fifo("pipe", testimage.Owner(5, 5)),
		testimage.Symlink("link", "none", testimage.Owner(5, 5)),
		testimage.Dir("listed", testimage.Xattr("system.posix_acl_default", acl)),
		testimage.File("naming", "x", testimage.Mode(0o755), testimage.Xattr("system.posix_acl_access", naming)),
		testimage.File("overlay", "x", testimage.Xattr("user.overlay.opaque", "y"), testimage.Xattr("trusted.overlay.opaque", "y"), testimage.Xattr("trusted.t", "t")),
		testimage.File("fake", "x", testimage.Xattr("user.rootlesscontainers", "\x08\x01")),
		testimage.File("cap", "c", testimage.Owner(1, 1), testimage.Mode(0o4755), testimage.Xattr("security.capability", "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")),
	}, {
		testimage.Whiteout("ro/gone"),
		testimage.File("ro/changed", "new", testimage.Mode(0o200)),
		testimage.File("dev/sda", "no device any more"),
		testimage.Dir("shut", testimage.Mode(0)),
		testimage.File("shut/in", "i", testimage.Owner(8, 9)),
		testimage.Dir("shut/deep", testimage.Mode(0o100), testimage.Owner(8, 9)),
		testimage.File("shut/deep/in", "i", testimage.Owner(8, 9)),
		testimage.Char("shut/deep/null", 1, 3),
	}}})
}
