package layout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/internal/testimage"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, dir string) *Layout {
	t.Helper()
	l, err := Open(dir)
	must(t, err)
	return l
}

// simple writes an image of one layer and returns the layout's directory.
func simple(t testing.TB) (dir string, desc ispec.Descriptor) {
	t.Helper()
	dir = t.TempDir()
	return dir, testimage.Write(t, dir, "t", testimage.Image{Layers: [][]testimage.Entry{{testimage.File("f", "x")}}})
}

func resolve(dir string, p Platform) (*Image, error) {
	l, err := Open(dir)
	if err != nil {
		return nil, err
	}
	return l.Resolve(context.Background(), Reference{Dir: dir, Tag: "t"}, p)
}

func TestResolveReadsAnImage(t *testing.T) {
	dir, desc := simple(t)
	img, err := resolve(dir, Platform{})
	must(t, err)
	if img.Descriptor.Digest != desc.Digest || len(img.Manifest.Layers) != 1 || img.Platform != HostPlatform() {
		t.Errorf("resolved %+v", img)
	}
	l := open(t, dir)
	for _, ref := range []Reference{{Dir: dir}, {Dir: dir, Digest: desc.Digest}, {Dir: dir, Tag: "t", Digest: desc.Digest}} {
		if img, err := l.Resolve(context.Background(), ref, Platform{}); err != nil || img.Descriptor.Digest != desc.Digest {
			t.Errorf("Resolve(%s) = %v, %v", ref, img, err)
		}
	}
}

func TestResolveTellsWhatIsThere(t *testing.T) {
	dir, _ := simple(t)
	testimage.Write(t, dir, "other", testimage.Image{})
	l := open(t, dir)
	_, err := l.Resolve(context.Background(), Reference{Dir: dir, Tag: "nope"}, Platform{})
	if !errors.Is(err, fault.ErrNotFound) || !strings.Contains(err.Error(), "there is t, other") {
		t.Errorf("a missing tag: %v", err)
	}
	_, err = l.Resolve(context.Background(), Reference{Dir: dir}, Platform{})
	if !errors.Is(err, fault.ErrUsage) || !strings.Contains(err.Error(), "t, other") {
		t.Errorf("no tag among several: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "nope")); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("a missing layout: %v", err)
	}
	if _, err := Open(t.TempDir()); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("a directory that is no layout: %v", err)
	}
}

func TestParsePlatformRefuses(t *testing.T) {
	for _, word := range []string{"linux", "/", " / ", "linux/", "/amd64", "linux/arm64/", "linux/arm/v7/x", "linux/am d64", "linux/\xff"} {
		if p, err := ParsePlatform(word); !errors.Is(err, fault.ErrUsage) {
			t.Errorf("ParsePlatform(%q) = %v, %v, want a usage error", word, p, err)
		}
	}
}

// index writes an index of images for the platforms, one level for each depth.
func index(t testing.TB, dir string, depth int, platforms ...string) {
	t.Helper()
	inner := ispec.Index{MediaType: ispec.MediaTypeImageIndex}
	inner.SchemaVersion = 2
	for i, p := range platforms {
		parsed, err := ParsePlatform(p)
		must(t, err)
		platform := ispec.Platform{OS: parsed.OS, Architecture: parsed.Architecture, Variant: parsed.Variant}
		d := testimage.Write(t, dir, fmt.Sprintf("part%d", i), testimage.Image{Platform: platform})
		d.Platform = &platform
		inner.Manifests = append(inner.Manifests, d)
	}
	for range depth {
		data, err := json.Marshal(inner)
		must(t, err)
		d := testimage.Blob(t, dir, ispec.MediaTypeImageIndex, data)
		inner.Manifests = []ispec.Descriptor{d}
	}
	testimage.Index(t, dir, "t", inner.Manifests[0])
}

func TestResolveChoosesThePlatform(t *testing.T) {
	for _, tc := range []struct{ there, want, got string }{
		{"linux/amd64 linux/arm64", "linux/arm64", "linux/arm64"},
		{"linux/arm64/v8 linux/amd64", "linux/arm64", "linux/arm64/v8"},
		{"linux/arm64 linux/amd64", "linux/arm64/v8", "linux/arm64"},
		{"linux/arm/v5 linux/arm/v7 linux/arm/v6", "linux/arm", "linux/arm/v7"},
		{"linux/arm/v5 linux/arm/v6", "linux/arm/v6", "linux/arm/v6"},
		{"linux/arm/v6", "linux/arm", "linux/arm/v6"},
		{"linux/amd64/v3 linux/amd64", "linux/amd64", "linux/amd64"},
		{"linux/amd64/v3", "linux/amd64", ""},
		{"windows/amd64 linux/amd64", "linux/amd64", "linux/amd64"},
		{"windows/amd64", "linux/amd64", ""},
		{"linux/arm64", "linux/riscv64", ""},
	} {
		for _, depth := range []int{1, 3} {
			dir := t.TempDir()
			index(t, dir, depth, strings.Fields(tc.there)...)
			want, err := ParsePlatform(tc.want)
			must(t, err)
			img, err := resolve(dir, want)
			switch {
			case tc.got == "":
				if !errors.Is(err, fault.ErrNotFound) || !strings.Contains(err.Error(), strings.Fields(tc.there)[0]) {
					t.Errorf("%s of %s = %v, want not found with what is there", tc.want, tc.there, err)
				}
			case err != nil || img.Platform.String() != tc.got:
				t.Errorf("%s of %s = %v, %v, want %s", tc.want, tc.there, img, err, tc.got)
			}
		}
	}
}

func TestAnExplicitPlatformMustFitASingleManifest(t *testing.T) {
	dir := t.TempDir()
	testimage.Write(t, dir, "t", testimage.Image{Platform: ispec.Platform{OS: "linux", Architecture: "s390x"}})
	if _, err := resolve(dir, Platform{}); err != nil {
		t.Errorf("a foreign image without --platform: %v", err)
	}
	if _, err := resolve(dir, Platform{OS: "linux", Architecture: "arm64"}); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("a foreign image with another --platform: %v", err)
	}
}

func TestNestingIsBounded(t *testing.T) {
	dir := t.TempDir()
	index(t, dir, maxIndexDepth+2, HostPlatform().String())
	if _, err := resolve(dir, Platform{}); !errors.Is(err, fault.ErrRefused) {
		t.Errorf("nesting of %d: %v, want a refusal", maxIndexDepth+2, err)
	}
	// 40 levels of doubled links would be 2^40 visits.
	dir = t.TempDir()
	data := []byte(`{"schemaVersion":2,"manifests":[]}`)
	for range maxIndexDepth - 1 {
		d := testimage.Blob(t, dir, ispec.MediaTypeImageIndex, data)
		entry := fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, d.MediaType, d.Digest, d.Size)
		data = []byte(`{"schemaVersion":2,"manifests":[` + strings.Repeat(entry+",", 999) + entry + `]}`)
	}
	testimage.Index(t, dir, "t", testimage.Blob(t, dir, ispec.MediaTypeImageIndex, data))
	if _, err := resolve(dir, Platform{}); !errors.Is(err, fault.ErrRefused) {
		t.Errorf("an index without manifests: %v, want a refusal", err)
	}
}

// TestDamage damages a good layout in one way after another.
func TestDamage(t *testing.T) {
	blob := func(dir string, d digest.Digest) string {
		return filepath.Join(dir, "blobs", "sha256", d.Encoded())
	}
	layer := func(t *testing.T, dir string) string {
		img, err := resolve(dir, Platform{})
		must(t, err)
		return blob(dir, img.Manifest.Layers[0].Digest)
	}
	replace := func(t *testing.T, path string, anew func()) {
		must(t, os.Remove(path))
		anew()
	}
	for name, damage := range map[string]func(t *testing.T, dir string, desc ispec.Descriptor){
		"manifest flipped": func(t *testing.T, dir string, desc ispec.Descriptor) { flip(t, blob(dir, desc.Digest), 10) },
		"layer flipped":    func(t *testing.T, dir string, _ ispec.Descriptor) { flip(t, layer(t, dir), 3) },
		"layer longer":     func(t *testing.T, dir string, _ ispec.Descriptor) { grow(t, layer(t, dir), "x") },
		"layer shorter":    func(t *testing.T, dir string, _ ispec.Descriptor) { must(t, os.Truncate(layer(t, dir), 5)) },
		"layer is a fifo": func(t *testing.T, dir string, _ ispec.Descriptor) {
			path := layer(t, dir)
			replace(t, path, func() { must(t, unix.Mkfifo(path, 0o600)) })
		},
		"layer is a link": func(t *testing.T, dir string, _ ispec.Descriptor) {
			path := layer(t, dir)
			must(t, os.Rename(path, path+".moved"))
			must(t, os.Symlink(path+".moved", path))
		},
		"layer is a directory": func(t *testing.T, dir string, _ ispec.Descriptor) {
			path := layer(t, dir)
			replace(t, path, func() { must(t, os.Mkdir(path, 0o700)) })
		},
		"index endless": func(t *testing.T, dir string, _ ispec.Descriptor) {
			path := filepath.Join(dir, indexFile)
			replace(t, path, func() { must(t, os.Symlink("/dev/zero", path)) })
		},
		"index large": func(t *testing.T, dir string, _ ispec.Descriptor) {
			grow(t, filepath.Join(dir, indexFile), strings.Repeat(" ", MaxDocument))
		},
		"index and manifest in one": func(t *testing.T, dir string, _ ispec.Descriptor) {
			must(t, os.WriteFile(filepath.Join(dir, indexFile), []byte(`{"schemaVersion":2,"manifests":[],"layers":[]}`), 0o600))
		},
		"schema 1": func(t *testing.T, dir string, _ ispec.Descriptor) {
			must(t, os.WriteFile(filepath.Join(dir, indexFile), []byte(`{"schemaVersion":1,"manifests":[]}`), 0o600))
		},
		"marker of another version": func(t *testing.T, dir string, _ ispec.Descriptor) {
			must(t, os.WriteFile(filepath.Join(dir, markerFile), []byte(`{"imageLayoutVersion":"2.0.0"}`), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, desc := simple(t)
			damage(t, dir, desc)
			done := make(chan error, 1)
			go func() { done <- readWhole(dir) }()
			select {
			case err := <-done:
				if !errors.Is(err, fault.ErrRefused) {
					t.Errorf("reading = %v, want a refusal", err)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("reading hangs")
			}
		})
	}
}

// readWhole reads the image and all its layers.
func readWhole(dir string) error {
	l, err := Open(dir)
	if err != nil {
		return err
	}
	img, err := l.Resolve(context.Background(), Reference{Dir: dir, Tag: "t"}, Platform{})
	if err != nil {
		return err
	}
	for _, d := range img.Manifest.Layers {
		r, err := l.Blob(context.Background(), d)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, r)
		if err := errors.Join(err, r.Close()); err != nil {
			return err
		}
	}
	return nil
}

func flip(t *testing.T, path string, offset int) {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	data[offset] ^= 1
	must(t, os.WriteFile(path, data, 0o600))
}

func grow(t *testing.T, path, more string) {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, append(data, more...), 0o600))
}

func TestRefusedDocuments(t *testing.T) {
	for name, img := range map[string]testimage.Image{
		"a layer without diffID": {Layers: [][]testimage.Entry{{}}, Config: func(c *ispec.Image) { c.RootFS.DiffIDs = nil }},
		"a diffID without layer": {Config: func(c *ispec.Image) { c.RootFS.DiffIDs = []digest.Digest{digest.Digest(sum)} }},
		"a malformed diffID":     {Layers: [][]testimage.Entry{{}}, Config: func(c *ispec.Image) { c.RootFS.DiffIDs[0] = "sha256:../x" }},
		"another kind of rootfs": {Config: func(c *ispec.Image) { c.RootFS.Type = "evil" }},
		"a negative size":        {Layers: [][]testimage.Entry{{}}, Manifest: func(m *ispec.Manifest) { m.Layers[0].Size = -1 }},
		"a malformed digest":     {Layers: [][]testimage.Entry{{}}, Manifest: func(m *ispec.Manifest) { m.Layers[0].Digest = "x:y" }},
		"data that is not it":    {Manifest: func(m *ispec.Manifest) { m.Config.Data = []byte("{}") }},
		"an artifact":            {Manifest: func(m *ispec.Manifest) { m.Config.MediaType = "application/vnd.oci.empty.v1+json" }},
		"another type inside":    {Manifest: func(m *ispec.Manifest) { m.MediaType = "application/x" }},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			desc := testimage.Write(t, dir, "", img)
			desc.MediaType = ispec.MediaTypeImageManifest
			testimage.Index(t, dir, "t", desc)
			if img, err := resolve(dir, Platform{}); !errors.Is(err, fault.ErrRefused) {
				t.Errorf("Resolve = %+v, %v, want a refusal", img, err)
			}
		})
	}
}

func TestDockerTypesAreImages(t *testing.T) {
	dir := t.TempDir()
	desc := testimage.Write(t, dir, "", testimage.Image{Manifest: func(m *ispec.Manifest) {
		m.MediaType = DockerManifest
		m.Config.MediaType = DockerConfig
	}})
	testimage.Index(t, dir, "t", desc)
	if _, err := resolve(dir, Platform{}); err != nil {
		t.Errorf("Resolve = %v", err)
	}
}

func TestAMissingBlobIsNotFound(t *testing.T) {
	dir, desc := simple(t)
	must(t, os.Remove(filepath.Join(dir, "blobs", "sha256", desc.Digest.Encoded())))
	if _, err := resolve(dir, Platform{}); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("Resolve = %v, want not found", err)
	}
}

func TestSharedImages(t *testing.T) {
	dir := testimage.Shared(t, "images/busybox")
	l := open(t, dir)
	for _, p := range []string{"linux/amd64", "linux/arm64", "linux/riscv64"} {
		want, err := ParsePlatform(p)
		must(t, err)
		img, err := l.Resolve(context.Background(), Reference{Dir: dir, Tag: "latest"}, want)
		if err != nil || img.Platform.Architecture != want.Architecture {
			t.Errorf("busybox for %s = %v, %v", p, img, err)
		}
	}
}

func FuzzDecodeManifest(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"config":{},"layers":[]}`))
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"digest":"x","size":1}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		manifest, err := decodeManifest(data, ispec.MediaTypeImageManifest)
		if err != nil && !errors.Is(err, fault.ErrRefused) {
			t.Fatalf("decodeManifest(%q) = %v, which is no refusal", data, err)
		}
		index, errIndex := decodeIndexAs(data, ispec.MediaTypeImageManifest)
		if err == nil && errIndex == nil && (len(manifest.Layers) > 0 || len(index.Manifests) > 0) {
			t.Fatalf("%q is read as a manifest and as an index", data)
		}
	})
}
