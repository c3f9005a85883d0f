package registry_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/internal/faultyregistry"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	ours "github.com/oci-plumbing/oci-plumbing/lib/transport/registry"
)

// TestUploadFaults: an upload that breaks is begun anew, with the bytes from
// their start, and what is wrong is not repeated.
func TestUploadFaults(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("layer ", 1<<18)
	desc := ispec.Descriptor{Digest: digest.FromString(content), Size: int64(len(content))}
	tests := []struct {
		name string
		// spoil answers the nth PUT itself, when it returns true.
		spoil func(w http.ResponseWriter, r *http.Request, n int) bool
		want  error
		puts  int
	}{
		{"ok", func(http.ResponseWriter, *http.Request, int) bool { return false }, nil, 1},
		{"reset in the middle", func(w http.ResponseWriter, r *http.Request, n int) bool {
			if n > 1 {
				return false
			}
			_, _ = io.CopyN(io.Discard, r.Body, 1<<16)
			faultyregistry.Reset(w)
			return true
		}, nil, 2},
		{"500 at the end", func(w http.ResponseWriter, r *http.Request, n int) bool {
			if n > 2 {
				return false
			}
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}, nil, 3},
		{"503 for ever", func(w http.ResponseWriter, r *http.Request, _ int) bool {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}, fault.ErrTemporary, 4},
		{"redirected", func(w http.ResponseWriter, r *http.Request, _ int) bool {
			http.Redirect(w, r, "http://127.0.0.1:1/elsewhere", http.StatusTemporaryRedirect)
			return true
		}, fault.ErrRefused, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			puts := 0
			sound := registry.New(registry.Logger(quiet()))
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPut {
					mu.Lock()
					puts++
					n := puts
					mu.Unlock()
					if tt.spoil(w, r, n) {
						return
					}
				}
				sound.ServeHTTP(w, r)
			}))
			t.Cleanup(s.Close)
			c := ours.New(ours.Config{
				Host: strings.TrimPrefix(s.URL, "http://"), Insecure: true, Retries: 3,
				Backoff: time.Millisecond, StallTimeout: 10 * time.Second,
			})
			err := c.Upload(context.Background(), "repo", desc, func() (io.ReadCloser, error) {
				return io.NopCloser(strings.NewReader(content)), nil
			})
			if !errors.Is(err, tt.want) {
				t.Fatalf("Upload = %v, want %v", err, tt.want)
			}
			if puts > tt.puts {
				t.Errorf("%d PUTs, want at most %d", puts, tt.puts)
			}
			if tt.want != nil {
				return
			}
			if got, err := fetch(c, "repo", desc); err != nil || string(got) != content {
				t.Errorf("fetch = %d bytes, %v", len(got), err)
			}
			if had, err := c.HasBlob(context.Background(), "repo", desc); err != nil || !had {
				t.Errorf("HasBlob = %t, %v", had, err)
			}
		})
	}
}

// A source that turns out wrong while it is sent ends the upload for good.
func TestUploadOfWrongBytes(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(registry.New(registry.Logger(quiet())))
	t.Cleanup(s.Close)
	c := ours.New(ours.Config{Host: strings.TrimPrefix(s.URL, "http://"), Insecure: true, Retries: 3, Backoff: time.Millisecond})
	opened := 0
	err := c.Upload(context.Background(), "repo", ispec.Descriptor{Digest: digest.FromString("right"), Size: 5}, func() (io.ReadCloser, error) {
		opened++
		return io.NopCloser(io.MultiReader(strings.NewReader("wro"), broken{})), nil
	})
	if !errors.Is(err, fault.ErrRefused) || opened != 1 {
		t.Errorf("Upload = %v after %d tries, want a refusal after one", err, opened)
	}
}

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, fault.Refused("damaged") }
