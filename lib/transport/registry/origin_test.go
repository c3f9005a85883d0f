package registry_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/lib/transport/registry"
)

const (
	user, password = "ali", "open-sesame"
	bearer         = "a-secret-token"
)

// eve is the second host. She keeps whatever looks like a secret.
type eve struct {
	plain, secure *httptest.Server
	mu            sync.Mutex
	seen          []string
	asked         int
}

func newEve(t *testing.T) *eve {
	t.Helper()
	e := &eve{}
	e.plain, e.secure = httptest.NewServer(e), httptest.NewTLSServer(e)
	t.Cleanup(e.plain.Close)
	t.Cleanup(e.secure.Close)
	return e
}

func (e *eve) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked++
	for _, secret := range []string{r.Header.Get("Authorization"), r.Header.Get("Cookie"), r.URL.User.String()} {
		if secret != "" {
			e.seen = append(e.seen, secret)
		}
	}
	for _, secret := range []string{password, bearer} {
		if strings.Contains(r.URL.String()+string(body), secret) {
			e.seen = append(e.seen, secret)
		}
	}
	if strings.Contains(r.URL.Path, "token") {
		_, _ = io.WriteString(w, `{"token":"anonymous"}`)
		return
	}
	if r.Method == http.MethodPut {
		w.WriteHeader(http.StatusCreated)
		return
	}
	_, _ = io.WriteString(w, blobText)
}

const blobText = "the bytes of a blob"

// at is an address of eve as seen from the registry.
func (e *eve) at(t *testing.T, where string) string {
	t.Helper()
	server := e.secure
	if where == "plain http" {
		server = e.plain
	}
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if where == "other host" {
		// httptest's certificate is for example.com and 127.0.0.1.
		u.Host = net.JoinHostPort("example.com", u.Port())
	}
	return u.String()
}

// registryWith is the first host: it wants credentials, and then points to
// eve by one of the four channels.
func registryWith(t *testing.T, channel, eveAt string) *httptest.Server {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authorization := r.Header.Get("Authorization")
		if channel == "realm" {
			if authorization == "" {
				w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="x"`, eveAt))
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
		} else if authorization == "" {
			w.Header().Set("WWW-Authenticate", `Basic realm="here"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "secret", Domain: "example.com"})
		switch {
		case r.Method == http.MethodPost:
			w.Header().Set("Location", eveAt+"/upload")
			w.WriteHeader(http.StatusAccepted)
		case channel == "redirect":
			http.Redirect(w, r, eveAt+"/blob", http.StatusTemporaryRedirect)
		default:
			_, _ = io.WriteString(w, blobText)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// clientOf trusts the test servers, and finds example.com on the loopback.
func clientOf(t *testing.T, s *httptest.Server, config registry.Config) *registry.Client {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	config.Host = strings.TrimPrefix(s.URL, "https://")
	config.TLS = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	config.Username, config.Password = user, password
	config.Backoff, config.StallTimeout = time.Millisecond, 5*time.Second
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	}
	return registry.New(config)
}

// The credentials of the first host never reach the second, by any channel and
// wherever it is. Over plain HTTP nothing is sent at all.
func TestCredentialsStayAtTheirOrigin(t *testing.T) {
	t.Parallel()
	desc := ispec.Descriptor{Digest: digest.FromString(blobText), Size: int64(len(blobText))}
	channels := map[string]func(c *registry.Client) error{
		"realm": func(c *registry.Client) error {
			_, err := fetch(c, "repo", desc)
			return err
		},
		"redirect": func(c *registry.Client) error {
			_, err := fetch(c, "repo", desc)
			return err
		},
		"upload": func(c *registry.Client) error {
			return c.Upload(context.Background(), "repo", desc, func() (io.ReadCloser, error) {
				return io.NopCloser(strings.NewReader(blobText)), nil
			})
		},
		"foreign urls": func(c *registry.Client) error {
			foreign := desc
			foreign.URLs = []string{"https://example.com/blob"}
			_, err := fetch(c, "repo", foreign)
			return err
		},
	}
	for channel, use := range channels {
		for _, where := range []string{"other host", "other port", "plain http"} {
			t.Run(channel+" "+where, func(t *testing.T) {
				t.Parallel()
				e := newEve(t)
				err := use(clientOf(t, registryWith(t, channel, e.at(t, where)), registry.Config{}))
				e.mu.Lock()
				defer e.mu.Unlock()
				if len(e.seen) > 0 {
					t.Errorf("the second host has seen %q", e.seen)
				}
				switch {
				case channel == "foreign urls":
					if err != nil || e.asked > 0 {
						t.Errorf("err = %v, %d requests to the second host; want none", err, e.asked)
					}
				case where == "plain http":
					if err == nil || e.asked > 0 {
						t.Errorf("err = %v, %d requests by plain HTTP; want a refusal before any", err, e.asked)
					}
				case err != nil:
					t.Errorf("without credentials: %v", err)
				case e.asked == 0:
					t.Error("the second host was not asked: the case tests nothing")
				}
			})
		}
	}
}

// A token server that was named may see the credentials.
func TestNamedTokenServer(t *testing.T) {
	t.Parallel()
	e := newEve(t)
	at := e.at(t, "other port")
	s := registryWith(t, "realm", at)
	c := clientOf(t, s, registry.Config{TokenHosts: []string{strings.TrimPrefix(at, "https://")}})
	if _, err := fetch(c, "repo", ispec.Descriptor{Digest: digest.FromString(blobText), Size: int64(len(blobText))}); err != nil {
		t.Fatal(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.seen) != 1 || !strings.HasPrefix(e.seen[0], "Basic ") {
		t.Errorf("the token server has seen %q, want Basic credentials once", e.seen)
	}
}

// What the registry says is shown, but neither the query of a URL nor bytes
// that drive a terminal.
func TestErrorsTellNoSecrets(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, "signed") {
			http.Redirect(w, r, "/signed?signature="+bearer, http.StatusTemporaryRedirect)
			return
		}
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "no \x1b[31mway\n")
	}))
	t.Cleanup(s.Close)
	_, err := fetch(clientOf(t, s, registry.Config{}), "repo", ispec.Descriptor{Digest: digest.FromString(blobText), Size: 19})
	if err == nil || strings.Contains(err.Error(), bearer) || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("err = %q", err)
	}
}
