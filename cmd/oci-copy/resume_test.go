package main

import (
	"crypto/tls"
	"io"
	"log"
	"math/rand"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// cutter is a proxy before a registry that breaks the first two downloads of
// large blobs after a third of what is left.
type cutter struct {
	*httptest.Server
	mu     sync.Mutex
	ranges []string
	// size is the blob's, and passed is how many bytes went through.
	size, passed int64
}

func newCutter(t *testing.T, host string) *cutter {
	t.Helper()
	c := &cutter{}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "https", Host: host})
	proxy.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // the loopback's own registry
	proxy.ErrorLog = log.New(io.Discard, "", 0)
	proxy.ModifyResponse = func(res *http.Response) error {
		if !strings.Contains(res.Request.URL.Path, "/blobs/sha256:") || res.ContentLength < 1<<16 {
			return nil
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.ranges = append(c.ranges, res.Request.Header.Get("Range"))
		c.size = max(c.size, res.ContentLength)
		allowed := res.ContentLength
		if len(c.ranges) <= 2 {
			allowed /= 3
		}
		res.Body = &cutBody{ReadCloser: res.Body, left: allowed, passed: func(n int) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.passed += int64(n)
		}}
		return nil
	}
	c.Server = httptest.NewServer(proxy)
	c.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(c.Close)
	return c
}

// cutBody ends with an error after some bytes.
type cutBody struct {
	io.ReadCloser
	left   int64
	passed func(int)
}

func (b *cutBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	b.passed(n)
	return n, err
}

// A download that breaks goes on where it broke: it asks for the rest only,
// each byte comes once, and the whole has the right digest.
func TestResume(t *testing.T) {
	onEachRegistry(t, func(t *testing.T, registry string) {
		p := newPKI(t)
		withPolicy(t)
		noise := make([]byte, 6<<20)
		rand.New(rand.NewSource(1)).Read(noise)
		img := newLayout(t, filepath.Join(t.TempDir(), "img"))
		img.tag("big", img.image(ispec.Platform{OS: "linux", Architecture: runtime.GOARCH}, false, string(noise)))
		host := startRegistry(t, registry, p, "")
		mustCopy(t, "--cert-dir", p.dir, "--dest-oci-accept-uncompressed-layers", "oci:"+img.dir+":big", "docker://"+host+"/big:1")

		c := newCutter(t, host)
		store := filepath.Join(t.TempDir(), "store")
		status, _, errs := ociCopy(t, "--tls-verify=false", "--dest-oci-accept-uncompressed-layers",
			"docker://"+strings.TrimPrefix(c.URL, "http://")+"/big:1", "oci:"+store+":x")
		if status != 0 {
			t.Fatalf("status %d: %s", status, errs)
		}
		mustRun(t, "diff", "-r", filepath.Join(img.dir, "blobs"), filepath.Join(store, "blobs"))
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.ranges) != 3 || c.ranges[0] != "" {
			t.Fatalf("it asked for the ranges %q, want all and then twice the rest", c.ranges)
		}
		// What the proxy has read when it breaks off may be lost with it.
		const lost = 64 << 10
		at := int64(0)
		for _, header := range c.ranges[1:] {
			at += (c.size - at) / 3
			from, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimPrefix(header, "bytes="), "-"), 10, 64)
			if err != nil || from > at || from < at-lost {
				t.Errorf("it asked for %q after a break at %d", header, at)
			}
			at = from
		}
		if again := c.passed - c.size; again > 2*lost {
			t.Errorf("%d of %d bytes came twice", again, c.size)
		}
		if n := strings.Count(errs, "going on in"); n != 2 {
			t.Errorf("it told of %d breaks: %s", n, errs)
		}
	})
}
