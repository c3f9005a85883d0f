package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
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
	if strings.Contains(parts[1], "/manifests/") {
		serveManifest(w, r, &answer, mode, n)
		return
	}
	serveBlob(w, r, &answer, mode, n)
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

// send sends the answer as it is, with another body.
func (a *recorded) send(w http.ResponseWriter, body []byte, length int) {
	for name, values := range a.Header() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(length))
	if length < 0 {
		w.Header().Del("Content-Length")
	}
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	_, _ = w.Write(body) // the client may have had enough
}

func serveManifest(w http.ResponseWriter, _ *http.Request, a *recorded, mode string, n int) {
	body := a.body.Bytes()
	switch {
	case mode == "man429" && n <= 2:
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	case mode == "man500" && n <= 2:
		w.WriteHeader(http.StatusInternalServerError)
	case mode == "mandigest":
		a.send(w, append([]byte(" "), body...), len(body)+1)
	case mode == "manbig":
		a.send(w, body, -1)
		for spaces := bytes.Repeat([]byte(" "), 1<<20); n < 512; n++ {
			if _, err := w.Write(spaces); err != nil {
				return
			}
		}
	default:
		a.send(w, body, len(body))
	}
}

func serveBlob(w http.ResponseWriter, r *http.Request, a *recorded, mode string, n int) {
	body := a.body.Bytes()
	if len(body) < big {
		a.send(w, body, len(body))
		return
	}
	half := len(body) / 2
	switch {
	case mode == "trunc1" && n == 1, mode == "truncall":
		a.send(w, body[:half], len(body))
	case mode == "stall" && n == 1, mode == "stallall":
		a.send(w, body[:half], len(body))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	case mode == "shortcl":
		a.send(w, body[:half], half)
	case mode == "longer":
		a.send(w, append(bytes.Clone(body), make([]byte, 1<<20)...), len(body)+1<<20)
	case mode == "endless":
		a.send(w, body, -1)
		for chunk := make([]byte, 1<<20); n < 2048; n++ {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	case mode == "wrongdigest":
		wrong := bytes.Clone(body)
		wrong[half] ^= 1
		a.send(w, wrong, len(wrong))
	case mode == "b429" && n <= 2:
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	case mode == "b503" && n <= 2, mode == "b503all":
		w.WriteHeader(http.StatusServiceUnavailable)
	case mode == "b500" && n <= 1:
		w.WriteHeader(http.StatusInternalServerError)
	case mode == "reset1" && n == 1, mode == "resetall":
		reset(w)
	case mode == "redirloop":
		http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
	case mode == "redirfile":
		w.Header().Set("Location", "file:///etc/passwd")
		w.WriteHeader(http.StatusTemporaryRedirect)
	case mode == "badrange" && n > 1:
		w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(body)-1, len(body)))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(body)
	case mode == "badrange":
		a.send(w, body[:half], len(body))
	case mode == "norange" && n > 1:
		a.send(w, body, len(body)) // from the start, whatever was asked for
	case mode == "norange":
		a.send(w, body[:half], len(body))
	default:
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	}
}

// reset breaks the connection off before a byte has been sent.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		err = tcp.SetLinger(0)
	}
	_ = errors.Join(err, conn.Close())
}

// upload misbehaves when something is pushed. n counts what was asked in this
// way before.
func (f *flaky) upload(w http.ResponseWriter, r *http.Request, mode string, n int) {
	blob := strings.Contains(r.URL.Path, "/blobs/uploads/")
	closing := r.Method == http.MethodPut && blob
	switch {
	case mode == "upreset1" && closing && n == 1, mode == "upresetall" && closing:
		_, _ = io.CopyN(io.Discard, r.Body, 100)
		reset(w)
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
