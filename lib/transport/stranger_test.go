package transport_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/transport"
)

// What is told of servers that are no registry, or one that lets nobody in.
func TestStrangeServers(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "denied") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<html>welcome</html>"))
	}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	verify := false
	options := transport.Options{InsecurePolicy: true, Retries: -1}
	_, err := newCopier(t, options).Copy(context.Background(), "docker://"+host+"/page:1", "dir:"+t.TempDir()+"/d")
	if hints := fault.Hints(err); len(hints) != 1 || !strings.Contains(hints[0], "--tls-verify=false") {
		t.Errorf("plain HTTP: %v with the hints %q", err, hints)
	}
	options.Source.TLSVerify = &verify
	c := newCopier(t, options)
	_, err = c.Copy(context.Background(), "docker://"+host+"/page:1", "dir:"+t.TempDir()+"/d")
	if !errors.Is(err, fault.ErrRefused) || !strings.Contains(err.Error(), "no registry") {
		t.Errorf("a page: %v, want a refusal", err)
	}
	_, err = c.Copy(context.Background(), "docker://"+host+"/denied:1", "dir:"+t.TempDir()+"/d")
	if hints := strings.Join(fault.Hints(err), "\n"); !strings.HasSuffix(hints, "podman login "+host) {
		t.Errorf("403: %v with the hints %q", err, hints)
	}
}
