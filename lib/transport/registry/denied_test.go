package registry_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/transport/registry"
)

// Whether credentials were missing, refused or held back: each has its own
// text and cure, and none tells the secret.
func TestDenied(t *testing.T) {
	t.Parallel()
	const secret = "not-the-word"
	account := registry.Config{Username: "ali", Password: secret}
	const missing, rejected = "give them with --creds USER, --authfile FILE, or log in with: podman login HOST",
		"check name and password: --creds USER, --authfile FILE, or log in anew with: podman login HOST"
	tests := []struct {
		name string
		// challenge is what the registry answers with; TOKENS is a server
		// that gives everybody a token, or none with ?deny.
		challenge  string
		config     registry.Config
		want, hint string
	}{
		{
			"no credentials", `Basic realm="cave"`,
			registry.Config{},
			"GET /v2/repo/manifests/1: the registry HOST wants credentials", missing,
		},
		{
			"wrong password", `Basic realm="cave"`, account,
			"GET /v2/repo/manifests/1: the registry HOST refuses the credentials of ali: 401 Unauthorized (denied: go away)", rejected,
		},
		{
			"wrong bearer token", `Basic realm="cave"`,
			registry.Config{Token: secret},
			"GET /v2/repo/manifests/1: the registry HOST refuses the bearer token: 401 Unauthorized (denied: go away)",
			"get a new one for --src-registry-token or --dest-registry-token, or give an account with --creds USER",
		},
		{
			"a way that nobody knows", `Negotiate`, account,
			"GET /v2/repo/manifests/1: the registry HOST answers 401 Unauthorized, and asks for neither password nor token", "",
		},
		{
			"anonymous token", `Bearer realm="TOKENS",service="s"`,
			registry.Config{},
			"GET /v2/repo/manifests/1: the registry HOST wants credentials", missing,
		},
		{
			"no anonymous token", `Bearer realm="TOKENS?deny",service="s"`,
			registry.Config{},
			"token server TOKENHOST of the registry HOST wants credentials", missing,
		},
		{
			"token without rights", `Bearer realm="TOKENS",service="s"`,
			registry.Config{Username: "ali", Password: secret, TokenHosts: []string{"TOKENHOST"}},
			"GET /v2/repo/manifests/1: the registry HOST refuses the credentials of ali: 401 Unauthorized (denied: go away)", rejected,
		},
		{
			"no token for the password", `Bearer realm="TOKENS?deny",service="s"`,
			registry.Config{Username: "ali", Password: secret, TokenHosts: []string{"TOKENHOST"}},
			"token server TOKENHOST: it refuses the credentials of ali: 401 Unauthorized (denied: no token)", rejected,
		},
		{
			"held back", `Bearer realm="TOKENS",service="s"`, account,
			"GET /v2/repo/manifests/1: the registry HOST wants credentials",
			"the credentials were not sent to TOKENHOST, which is another host than the registry; if that is right: --allow-token-server TOKENHOST",
		},
		{
			"held back, and no token", `Bearer realm="TOKENS?deny",service="s"`, account,
			"token server TOKENHOST of the registry HOST wants credentials",
			"the credentials were not sent to TOKENHOST, which is another host than the registry; if that is right: --allow-token-server TOKENHOST",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Query().Has("deny") {
					w.WriteHeader(http.StatusUnauthorized)
					_, _ = io.WriteString(w, `{"errors":[{"code":"DENIED","message":"no token"}]}`)
					return
				}
				_, _ = io.WriteString(w, `{"token":"useless"}`)
			}))
			t.Cleanup(tokens.Close)
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("WWW-Authenticate", strings.ReplaceAll(tt.challenge, "TOKENS", tokens.URL))
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = io.WriteString(w, `{"errors":[{"code":"DENIED","message":"go away"}]}`)
			}))
			t.Cleanup(s.Close)
			host, tokenHost := strings.TrimPrefix(s.URL, "http://"), strings.TrimPrefix(tokens.URL, "http://")
			named := strings.NewReplacer("TOKENHOST", tokenHost, "HOST", host)
			config := tt.config
			config.Host, config.Insecure = host, true
			if len(config.TokenHosts) > 0 {
				config.TokenHosts = []string{tokenHost}
			}
			_, err := registry.New(config).Manifest(context.Background(), "repo", "1", nil)
			if err == nil {
				t.Fatal("there is no error")
			}
			if want := named.Replace(tt.want); err.Error() != want {
				t.Errorf("error %q\n want %q", err, want)
			}
			if hints, want := strings.Join(fault.Hints(err), "\n"), named.Replace(tt.hint); hints != want {
				t.Errorf("hints %q\n want %q", hints, want)
			}
			if strings.Contains(fmt.Sprintf("%+v", err), secret) {
				t.Error("the error tells the secret")
			}
		})
	}
}

// A stranger to whom a request was redirected cannot ask for credentials.
func TestDeniedElsewhere(t *testing.T) {
	t.Parallel()
	asked := 0
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.Header().Set("WWW-Authenticate", `Basic realm="mine"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(stranger.Close)
	s := httptest.NewServer(http.RedirectHandler(stranger.URL+"/x", http.StatusTemporaryRedirect))
	t.Cleanup(s.Close)
	c := registry.New(registry.Config{Host: strings.TrimPrefix(s.URL, "http://"), Insecure: true, Username: "ali", Password: "sesame"})
	_, err := c.Manifest(context.Background(), "repo", "1", nil)
	if err == nil || err.Error() != "GET /v2/repo/manifests/1: the registry answers 401 Unauthorized" {
		t.Errorf("error %v", err)
	}
	if asked != 1 {
		t.Errorf("the stranger was asked %d times, want once", asked)
	}
}
