package registry_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/internal/faultyregistry"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/transport/registry"
)

// faulty is a registry with one image per mode of misbehaviour; the repository
// is the mode. It counts what it was asked and how many bytes were taken.
type faulty struct {
	*httptest.Server
	manifest, blob []byte

	mu       sync.Mutex
	requests map[string]int
	ranges   []string

	// taken is counted on behind the client's back: the handler may still
	// be at work when the answer has been read.
	taken atomic.Int64
}

func newFaulty(t *testing.T) *faulty {
	t.Helper()
	f := &faulty{manifest: []byte(`{"schemaVersion":2}`), blob: make([]byte, 5<<20), requests: make(map[string]int)}
	rand.New(rand.NewSource(1)).Read(f.blob)
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Server.Close)
	return f
}

func (f *faulty) desc() ispec.Descriptor {
	return ispec.Descriptor{Digest: digest.FromBytes(f.blob), Size: int64(len(f.blob))}
}

func (f *faulty) client(retries int) *registry.Client {
	return registry.New(registry.Config{
		Host: strings.TrimPrefix(f.URL, "http://"), Insecure: true, Retries: retries,
		Backoff: time.Millisecond, StallTimeout: 2 * time.Second,
	})
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(parts) < 4 {
		return
	}
	mode, kind := parts[1], parts[2]
	f.mu.Lock()
	f.requests[kind]++
	n := f.requests[kind]
	if kind == "blobs" {
		f.ranges = append(f.ranges, r.Header.Get("Range"))
	}
	f.mu.Unlock()
	w = &counting{ResponseWriter: w, f: f}
	if kind == "manifests" {
		w.Header().Set("Content-Type", ispec.MediaTypeImageManifest)
		w.Header().Set("Docker-Content-Digest", digest.FromBytes(f.manifest).String())
		faultyregistry.Manifest(w, mode, n, f.manifest)
		return
	}
	faultyregistry.Blob(w, r, mode, n, f.blob)
}

type counting struct {
	http.ResponseWriter
	f *faulty
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.f.taken.Add(int64(n))
	return n, err
}

func (c *counting) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func TestBlobFaults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		mode string
		want error // nil: the blob arrives
		most int   // requests
	}{
		{"ok", nil, 1},
		{"trunc1", nil, 2},
		{"truncall", fault.ErrTemporary, 8},
		{"shortcl", fault.ErrRefused, 1},
		{"longer", fault.ErrRefused, 1},
		{"longercl", fault.ErrRefused, 1},
		{"endless", fault.ErrRefused, 1},
		{"wrongdigest", fault.ErrRefused, 1},
		{"b429", nil, 3},
		{"b503", nil, 3},
		{"b500", nil, 2},
		{"reset1", nil, 2},
		{"stall", nil, 2},
		{"redirloop", fault.ErrRefused, 10},
		{"redirfile", fault.ErrRefused, 1},
		{"badrange", fault.ErrRefused, 2},
		{"norange", nil, 2},
	}
	for _, tt := range tests {
		t.Run(tt.mode, func(t *testing.T) {
			t.Parallel()
			f := newFaulty(t)
			got, err := fetch(f.client(3), tt.mode, f.desc())
			if !errors.Is(err, tt.want) {
				t.Fatalf("fetch = %v, want %v", err, tt.want)
			}
			if tt.want == nil && sha256.Sum256(got) != sha256.Sum256(f.blob) {
				t.Error("the blob arrived changed")
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if n := f.requests["blobs"]; n > tt.most {
				t.Errorf("%d requests, want at most %d", n, tt.most)
			}
			// Socket buffers hold some MiB that nobody reads.
			if most := int64(tt.most)*int64(len(f.blob)) + 32<<20; f.taken.Load() > most {
				t.Errorf("%d bytes taken, want at most %d", f.taken.Load(), most)
			}
			if tt.mode == "trunc1" && f.ranges[1] != fmt.Sprintf("bytes=%d-", len(f.blob)/2) {
				t.Errorf("after the break: Range %q", f.ranges[1])
			}
		})
	}
}

func fetch(c *registry.Client, repository string, desc ispec.Descriptor) ([]byte, error) {
	r, err := c.Blob(context.Background(), repository, desc)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}

func TestManifestFaults(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]error{
		"ok": nil, "man429": nil, "man500": nil, "mandigest": fault.ErrRefused, "manbig": fault.ErrRefused,
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			f := newFaulty(t)
			m, err := f.client(3).Manifest(context.Background(), mode, "latest", []string{ispec.MediaTypeImageManifest})
			if !errors.Is(err, want) {
				t.Fatalf("Manifest = %v, want %v", err, want)
			}
			if want == nil && !bytes.Equal(m.Raw, f.manifest) {
				t.Errorf("Manifest = %q", m.Raw)
			}
			if n := f.taken.Load(); n > 64<<20 { // what socket buffers hold, far from 512 MiB
				t.Errorf("%d bytes taken of a manifest", n)
			}
		})
	}
}

// A digest that was asked for has to be that of the answer.
func TestManifestByDigest(t *testing.T) {
	t.Parallel()
	f := newFaulty(t)
	_, err := f.client(0).Manifest(context.Background(), "ok", digest.FromString("another").String(), nil)
	if !errors.Is(err, fault.ErrRefused) {
		t.Errorf("Manifest = %v, want a refusal", err)
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	c := registry.New(registry.Config{Host: "127.0.0.1:1", Insecure: true, Retries: 1, Backoff: time.Millisecond})
	_, err := c.Manifest(context.Background(), "x", "y", nil)
	if !errors.Is(err, fault.ErrTemporary) {
		t.Errorf("Manifest = %v, want temporary", err)
	}
}

// A registry that is not up at the first try is found at the next one, by plain
// HTTP where that is allowed.
func TestSlowToRise(t *testing.T) {
	t.Parallel()
	f := newFaulty(t)
	var mu sync.Mutex
	dials := 0
	c := registry.New(registry.Config{
		Host: strings.TrimPrefix(f.URL, "http://"), Insecure: true, Retries: 3, Backoff: time.Millisecond,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			mu.Lock()
			dials++
			down := dials <= 4
			mu.Unlock()
			if down {
				address = "127.0.0.1:1"
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	})
	if _, err := c.Manifest(context.Background(), "ok", "latest", nil); err != nil {
		t.Errorf("Manifest = %v", err)
	}
}

// A cancelled context ends a stalled transfer at once, with its cause.
func TestCancel(t *testing.T) {
	t.Parallel()
	f := newFaulty(t)
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	c := registry.New(registry.Config{Host: strings.TrimPrefix(f.URL, "http://"), Insecure: true, StallTimeout: time.Hour})
	r, err := c.Blob(ctx, "stall", f.desc())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, len(f.blob)/2)); err != nil {
		t.Fatal(err)
	}
	cancel(cause)
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, cause) {
		t.Errorf("Read = %v, want %v", err, cause)
	}
}
