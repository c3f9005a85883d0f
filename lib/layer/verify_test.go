package layer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/internal/testimage"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// emptyRoot is a directory to unpack into.
func emptyRoot(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "rootfs")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestDiffID(t *testing.T) {
	needRoot(t)
	m, layers := stack(t, parse(t, "a=1"), parse(t, "b=2"))
	layers[0].DiffID = digest.FromString("other")
	_, _, err := unpackTo(t, m, layers, Options{})
	if !errors.Is(err, fault.ErrRefused) || !strings.Contains(err.Error(), "layer 1 ") || !strings.Contains(err.Error(), "diff_id") {
		t.Errorf("Unpack = %v, want a refusal about layer 1 and its diff_id", err)
	}
	for _, bad := range []digest.Digest{"", "sha256:../../x", "sha256:ABC"} {
		layers[0].DiffID = bad
		if _, _, err := unpackTo(t, m, layers, Options{}); !errors.Is(err, fault.ErrRefused) {
			t.Errorf("Unpack with diff_id %q = %v, want a refusal", bad, err)
		}
	}
}

func TestPackings(t *testing.T) {
	needRoot(t)
	plain := testimage.Tar(t, parse(t, "a=1 d/ d/b=2")...)
	zipped, _ := testimage.Compress(t, plain, testimage.Gzip)
	zstd, _ := testimage.Compress(t, plain, testimage.Zstd)
	half := func(c testimage.Compression) []byte {
		one, _ := testimage.Compress(t, plain[:700], c)
		two, _ := testimage.Compress(t, plain[700:], c)
		return append(one, two...)
	}
	skippable := append([]byte("\x50\x2a\x4d\x18\x04\x00\x00\x00meta"), zstd...)
	for _, c := range []struct {
		name, mediaType string
		blob            []byte
		sniff, refused  bool
	}{
		{"plain", ispec.MediaTypeImageLayer, plain, false, false},
		{"gzip", ispec.MediaTypeImageLayerGzip, zipped, false, false},
		{"docker", "application/vnd.docker.image.rootfs.diff.tar.gzip", zipped, false, false},
		{"foreign", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", zipped, false, false},
		{"zstd", ispec.MediaTypeImageLayerZstd, zstd, false, false},
		{"two members", ispec.MediaTypeImageLayerGzip, half(testimage.Gzip), false, false},
		{"two frames", ispec.MediaTypeImageLayerZstd, half(testimage.Zstd), false, false},
		{"a skippable frame first", ispec.MediaTypeImageLayerZstd, skippable, false, false},
		{"padded", ispec.MediaTypeImageLayerGzip, append(bytes.Clone(zipped), make([]byte, 3000)...), false, false},
		{"junk behind", ispec.MediaTypeImageLayerGzip, append(bytes.Clone(zipped), 'x'), false, true},
		{"cut", ispec.MediaTypeImageLayerGzip, zipped[:len(zipped)-9], false, true},
		{"no trailer", ispec.MediaTypeImageLayerGzip, zipped[:len(zipped)-8], false, true},
		{"zstd cut", ispec.MediaTypeImageLayerZstd, zstd[:len(zstd)-5], false, true},
		{"gzip called zstd", ispec.MediaTypeImageLayerZstd, zipped, false, true},
		{"gzip called plain", ispec.MediaTypeImageLayer, zipped, false, true},
		{"plain called gzip", ispec.MediaTypeImageLayerGzip, plain, false, true},
		{"gzip called zstd, sniffed", ispec.MediaTypeImageLayerZstd, zipped, true, false},
		{"plain called gzip, sniffed", ispec.MediaTypeImageLayerGzip, plain, true, false},
		{"bzip2", ispec.MediaTypeImageLayerGzip, []byte("BZh91AY"), true, true},
		{"xz", ispec.MediaTypeImageLayer + "+xz", plain, true, true},
		{"a suffix nobody knows", ispec.MediaTypeImageLayer + "+invalid", plain, true, true},
		{"no layer", "application/json", plain, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := digest.FromBytes(c.blob)
			l := Layer{Descriptor: ispec.Descriptor{MediaType: c.mediaType, Digest: d, Size: int64(len(c.blob))}, DiffID: digest.FromBytes(plain)}
			root, _, err := unpackTo(t, memory{d: c.blob}, []Layer{l}, Options{Sniff: c.sniff})
			switch {
			case c.refused && !errors.Is(err, fault.ErrRefused):
				t.Errorf("Unpack = %v, want a refusal", err)
			case !c.refused && err != nil:
				t.Errorf("Unpack = %v", err)
			case err == nil:
				if got := list(t, root); got != "a=1 d/ d/b=2" {
					t.Errorf("Unpack = %q", got)
				}
			}
		})
	}
}

// An empty blob is an empty archive.
func TestEmptyBlob(t *testing.T) {
	needRoot(t)
	d := digest.FromBytes(nil)
	l := Layer{Descriptor: ispec.Descriptor{MediaType: ispec.MediaTypeImageLayer, Digest: d}, DiffID: d}
	if _, _, err := unpackTo(t, memory{d: nil}, []Layer{l}, Options{}); err != nil {
		t.Error(err)
	}
}

// failing gives a reader that fails in the middle of a blob, or waits there
// until the context is done.
type failing struct {
	memory
	at    int64
	err   error
	blobs atomic.Int32 // that are read before it happens
}

func (f *failing) Blob(ctx context.Context, desc ispec.Descriptor) (io.ReadCloser, error) {
	rc, err := f.memory.Blob(ctx, desc)
	if err != nil || f.blobs.Add(-1) >= 0 {
		return rc, err
	}
	return io.NopCloser(io.MultiReader(io.LimitReader(rc, f.at), readFunc(func([]byte) (int, error) {
		if f.err == nil {
			<-ctx.Done()
			return 0, context.Cause(ctx)
		}
		return 0, f.err
	}))), nil
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// Whatever stage fails, the run ends with that error, and no goroutine is
// left behind.
func TestFailureInEachStage(t *testing.T) {
	needRoot(t)
	big := strings.Repeat("0123456789abcdef", 1<<17) // 2 MiB: several chunks
	var texts []string
	for range 5 {
		texts = append(texts, "d/ d/f="+big+" e=x")
	}
	var entries [][]testimage.Entry
	for _, text := range texts {
		entries = append(entries, parse(t, text))
	}
	m, layers := stack(t, entries...)
	boom := errors.New("boom")
	for name, run := range map[string]func(ctx context.Context, root string) error{
		"blob cannot be opened": func(ctx context.Context, root string) error {
			_, err := Unpack(ctx, memory{}, layers, root, Options{})
			return err
		},
		"first blob fails": func(ctx context.Context, root string) error {
			_, err := Unpack(ctx, &failing{memory: m, at: 1000, err: boom}, layers, root, Options{})
			return err
		},
		"last blob fails": func(ctx context.Context, root string) error {
			source := &failing{memory: m, at: 100, err: boom}
			source.blobs.Store(4)
			_, err := Unpack(ctx, source, layers, root, Options{BottomUp: true})
			return err
		},
		"writer fails": func(ctx context.Context, root string) error {
			if err := os.WriteFile(filepath.Join(root, "e"), nil, 0o600); err != nil {
				return err
			}
			_, err := Unpack(ctx, m, layers, root, Options{})
			return err
		},
		"stopped": func(ctx context.Context, root string) error {
			ctx, cancel := context.WithCancelCause(ctx)
			time.AfterFunc(50*time.Millisecond, func() { cancel(boom) })
			_, err := Unpack(ctx, &failing{memory: m, at: 2000}, layers, root, Options{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			err := run(context.Background(), emptyRoot(t))
			if err == nil {
				t.Fatal("Unpack did not fail")
			}
			if strings.Contains(name, "blob fails") || name == "stopped" {
				if !errors.Is(err, boom) {
					t.Errorf("Unpack = %v, want %v", err, boom)
				}
			}
			for range 100 {
				if runtime.NumGoroutine() <= before {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Errorf("%d goroutines before, %d after", before, runtime.NumGoroutine())
		})
	}
}

func TestLimit(t *testing.T) {
	needRoot(t)
	m, layers := stack(t, parse(t, "a="+strings.Repeat("x", 5000)))
	if _, _, err := unpackTo(t, m, layers, Options{MaxLayerBytes: 4000}); !errors.Is(err, fault.ErrRefused) {
		t.Errorf("Unpack = %v, want a refusal", err)
	}
}
