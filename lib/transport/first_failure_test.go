package transport_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"math/rand"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	gcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/internal/testimage"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
	"github.com/oci-plumbing/oci-plumbing/lib/transport"
)

// halting is a registry with one image of two layers: the first stops in its
// middle, and then the second comes with wrong bytes.
type halting struct {
	*httptest.Server
	dir         string
	top         ispec.Descriptor
	first, last digest.Digest
	stands      chan struct{} // closed when the first layer stands still
	once        sync.Once
}

func newHalting(t *testing.T) *halting {
	t.Helper()
	h := &halting{dir: filepath.Join(t.TempDir(), "img"), stands: make(chan struct{})}
	noise := make([]byte, 1<<20)
	rand.New(rand.NewSource(1)).Read(noise)
	h.top = testimage.Write(t, h.dir, "x", testimage.Image{Layers: [][]testimage.Entry{
		{testimage.File("a", string(noise[:1<<19]))}, {testimage.File("b", string(noise[1<<19:]))},
	}})
	l, err := layout.Open(h.dir)
	if err != nil {
		t.Fatal(err)
	}
	img, err := l.Image(context.Background(), h.top)
	if err != nil {
		t.Fatal(err)
	}
	h.first, h.last = img.Manifest.Layers[0].Digest, img.Manifest.Layers[1].Digest
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Server.Close)
	return h
}

func (h *halting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := path.Base(r.URL.Path)
	switch {
	case r.URL.Path == "/v2/":
		return
	case strings.Contains(r.URL.Path, "/manifests/"):
		w.Header().Set("Content-Type", h.top.MediaType)
		name = h.top.Digest.String()
	}
	data, err := os.ReadFile(filepath.Join(h.dir, "blobs", strings.ReplaceAll(name, ":", "/")))
	if err != nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	switch digest.Digest(name) {
	case h.first:
		_, _ = w.Write(data[:len(data)/2])
		_ = http.NewResponseController(w).Flush()
		h.once.Do(func() { close(h.stands) })
		<-r.Context().Done()
	case h.last:
		<-h.stands
		data[len(data)/2] ^= 1
		_, _ = w.Write(data)
	default:
		_, _ = w.Write(data)
	}
}

// bodiesFirst hands requests on once their bodies are there. This registry
// answers nobody else while it reads one, not even whether it has the blob
// that is to fail.
func bodiesFirst(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client has gone away
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

// The first failure of a layer ends those that are still on their way, also
// where the library copies because the layers change.
func TestFirstFailureEndsAll(t *testing.T) {
	t.Parallel()
	zstd := transport.Options{Compression: "zstd", ForceCompression: true}
	// Where signatures may be, the library opens the registries.
	signatures := t.TempDir()
	write(t, filepath.Join(signatures, "x.yaml"), "default-docker:\n  lookaside: file://"+signatures+"\n")
	signed := transport.Options{RegistriesDir: signatures}
	tests := []struct {
		name    string
		dst     string
		options transport.Options
	}{
		{"layout", "oci:WORK/s:x", transport.Options{}},
		{"layout, recompressed", "oci:WORK/s:x", zstd},
		{"archive", "oci-archive:WORK/a.tar:x", transport.Options{}},
		{"archive, recompressed", "oci-archive:WORK/a.tar:x", zstd},
		{"directory", "dir:WORK/d", transport.Options{}},
		{"registry", "docker://REGISTRY/x:1", transport.Options{}},
		{"registry, recompressed", "docker://REGISTRY/x:1", zstd},
		{"layout, with signatures", "oci:WORK/s:x", signed},
		{"directory, with signatures", "dir:WORK/d", signed},
		{"registry, with signatures", "docker://REGISTRY/x:1", signed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHalting(t)
			other := httptest.NewServer(bodiesFirst(gcr.New(gcr.Logger(log.New(io.Discard, "", 0)))))
			t.Cleanup(other.Close)
			options, plain := tt.options, false
			options.StallTimeout = time.Hour
			options.Source.TLSVerify, options.Destination.TLSVerify = &plain, &plain
			c := newCopier(t, options)
			// Nothing but the failure of the other layer ends the first one.
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			dst := strings.NewReplacer("WORK", t.TempDir(), "REGISTRY", strings.TrimPrefix(other.URL, "http://")).Replace(tt.dst)
			_, err := c.Copy(ctx, "docker://"+strings.TrimPrefix(h.URL, "http://")+"/img:x", dst)
			if !errors.Is(err, fault.ErrRefused) {
				t.Errorf("Copy = %v, want a refusal", err)
			}
		})
	}
}
