package main

import (
	"bytes"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/oci-plumbing/oci-plumbing/internal/faultyregistry"
)

// flaky is a registry on loopback that misbehaves: the first element of the
// repository is the mode. What is read under any mode is what was pushed to
// the repository of the mode "ok".
type flaky struct {
	addr   string
	server *http.Server
	inner  http.Handler

	mu sync.Mutex
	// asked counts the requests by mode, method and path; taken the bytes
	// that were read of a mode.
	asked map[string]int
	taken map[string]int64
}

// big is the size above which a blob is misbehaved with.
const big = 100_000

func startFlaky() (*flaky, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &flaky{
		addr:  listener.Addr().String(),
		inner: registry.New(registry.Logger(log.New(io.Discard, "", 0))),
		asked: make(map[string]int), taken: make(map[string]int64),
	}
	f.server = &http.Server{Handler: f, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = f.server.Serve(listener) }() // ends with close
	return f, nil
}

func (f *flaky) close() { _ = f.server.Close() }

// forget begins the counting of a mode anew.
func (f *flaky) forget(mode string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key := range f.asked {
		if strings.HasPrefix(key, mode+" ") {
			delete(f.asked, key)
		}
	}
	f.taken[mode] = 0
}

// count is how often it was asked for blobs or manifests in the mode, and the
// bytes that were read of them.
func (f *flaky) count(mode, kind string) (asked int, taken int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, n := range f.asked {
		if strings.HasPrefix(key, mode+" ") && strings.Contains(key, "/"+kind+"/") {
			asked = max(asked, n)
		}
	}
	return asked, f.taken[mode]
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/v2/"), "/", 2)
	if len(parts) < 2 {
		f.inner.ServeHTTP(w, r)
		return
	}
	mode := parts[0]
	f.mu.Lock()
	key := mode + " " + r.Method + " " + r.URL.Path
	if strings.Contains(r.URL.Path, "/blobs/uploads/") {
		key = mode + " " + r.Method + " uploads" // each has a path of its own
	}
	f.asked[key]++
	n := f.asked[key]
	f.mu.Unlock()
	w = &counter{ResponseWriter: w, flaky: f, mode: mode}
	if r.Method != http.MethodGet {
		f.upload(w, r, mode, n)
		return
	}
	// All modes show what the mode "ok" has, and all of it.
	whole := r.Clone(r.Context())
	whole.URL.Path = "/v2/ok/" + parts[1]
	whole.Header.Del("Range")
	var answer recorded
	f.inner.ServeHTTP(&answer, whole)
	maps.Copy(w.Header(), answer.Header())
	w.Header().Del("Content-Length")
	body := answer.body.Bytes()
	switch {
	case answer.status != 0 && answer.status != http.StatusOK:
		w.WriteHeader(answer.status)
		_, _ = w.Write(body) // the client may have had enough
	case strings.Contains(parts[1], "/manifests/"):
		faultyregistry.Manifest(w, mode, n, body)
	case len(body) < big:
		faultyregistry.Blob(w, r, "ok", n, body)
	default:
		faultyregistry.Blob(w, r, mode, n, body)
	}
}

// counter counts the bytes that go out.
type counter struct {
	http.ResponseWriter
	flaky *flaky
	mode  string
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.flaky.mu.Lock()
	c.flaky.taken[c.mode] += int64(n)
	c.flaky.mu.Unlock()
	return n, err
}

func (c *counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// recorded is an answer that has not been sent yet.
type recorded struct {
	head   http.Header
	status int
	body   bytes.Buffer
}

func (a *recorded) Header() http.Header {
	if a.head == nil {
		a.head = make(http.Header)
	}
	return a.head
}
func (a *recorded) WriteHeader(status int)      { a.status = status }
func (a *recorded) Write(p []byte) (int, error) { return a.body.Write(p) }

// upload misbehaves when something is pushed. n counts what was asked in this
// way before.
func (f *flaky) upload(w http.ResponseWriter, r *http.Request, mode string, n int) {
	blob := strings.Contains(r.URL.Path, "/blobs/uploads/")
	closing := r.Method == http.MethodPut && blob
	switch {
	case mode == "upreset1" && closing && n == 1, mode == "upresetall" && closing:
		_, _ = io.CopyN(io.Discard, r.Body, 100)
		faultyregistry.Reset(w)
	case mode == "up500" && closing && n == 1, mode == "up500all" && closing:
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusInternalServerError)
	case mode == "up416" && closing && n == 1:
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
	case mode == "upelsewhere" && blob && r.Method == http.MethodPost:
		w.Header().Set("Location", "http://127.0.0.2:1/upload")
		w.WriteHeader(http.StatusAccepted)
	case mode == "upman503" && r.Method == http.MethodPut && !blob && n == 1:
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		f.inner.ServeHTTP(w, r)
	}
}
