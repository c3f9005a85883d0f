package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// Config says which registry is meant and how to behave towards it.
type Config struct {
	// Host is HOST[:PORT] of the registry.
	Host string
	// TLS is the configuration of HTTPS connections; nil is the default.
	TLS *tls.Config
	// Insecure allows plain HTTP where the registry speaks no HTTPS.
	// Whether certificates are checked is for TLS to say.
	Insecure bool
	// Username and Password are sent to the registry, and to the token
	// server that it names when that may see them.
	Username, Password string
	// IdentityToken is a refresh token, in place of a password.
	IdentityToken string
	// Token is a bearer token that is used as it is.
	Token string
	// TokenHosts are further HOST[:PORT] that may see the credentials when
	// the registry names them as its token server.
	TokenHosts []string
	// UserAgent is sent with each request.
	UserAgent string
	// Retries is how often a request is repeated.
	Retries int
	// Backoff is the first pause before a repetition; it doubles. 0 is
	// half a second.
	Backoff time.Duration
	// StallTimeout ends a transfer that brings nothing for so long.
	StallTimeout time.Duration
	// Dial connects to HOST:PORT; nil dials it.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Log is told of repetitions; it may be nil.
	Log func(format string, args ...any)
}

// Client speaks to one registry. It may be used from several goroutines.
type Client struct {
	config Config
	http   *http.Client

	scheme sync.Mutex // of origin, until it is known
	origin *url.URL

	auth authorizer
}

// maxHeaders bounds the header block of an answer.
const maxHeaders = 256 << 10

// New makes a client. It sends nothing yet.
func New(config Config) *Client {
	if config.Backoff <= 0 {
		config.Backoff = 500 * time.Millisecond
	}
	if config.StallTimeout <= 0 {
		config.StallTimeout = 30 * time.Second
	}
	if config.Log == nil {
		config.Log = func(string, ...any) {}
	}
	if config.Dial == nil {
		dialer := &net.Dialer{Timeout: config.StallTimeout, KeepAlive: 30 * time.Second}
		config.Dial = dialer.DialContext
	}
	c := &Client{
		config: config,
		http: &http.Client{
			Transport: &http.Transport{
				Proxy:                  http.ProxyFromEnvironment,
				DialContext:            config.Dial,
				TLSClientConfig:        config.TLS,
				TLSHandshakeTimeout:    config.StallTimeout,
				MaxIdleConnsPerHost:    16,
				IdleConnTimeout:        90 * time.Second,
				MaxResponseHeaderBytes: maxHeaders,
				// A coded answer would defeat the comparison of sizes.
				DisableCompression: true,
				ForceAttemptHTTP2:  true,
				WriteBufferSize:    64 << 10,
				ReadBufferSize:     64 << 10,
			},
			// Redirects are followed by hop, which knows what may go where.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	c.auth.client = c
	return c
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// base is the origin of the registry. Where plain HTTP is allowed, one request
// finds out which scheme it speaks, HTTPS first. While it answers to neither,
// the question stays open for the next try.
func (c *Client) base(ctx context.Context) (*url.URL, error) {
	c.scheme.Lock()
	defer c.scheme.Unlock()
	if c.origin != nil {
		return c.origin, nil
	}
	secure := &url.URL{Scheme: "https", Host: c.config.Host}
	plain := &url.URL{Scheme: "http", Host: c.config.Host}
	if !c.config.Insecure {
		c.origin = secure
		return secure, nil
	}
	secureErr := c.probe(ctx, secure)
	if secureErr == nil {
		c.origin = secure
		return secure, nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	plainErr := c.probe(ctx, plain)
	switch {
	case plainErr == nil:
		c.origin = plain
		return plain, nil
	case passes(plainErr):
		return nil, plainErr
	default:
		return nil, secureErr
	}
}

// probe sends one request without credentials; any answer will do.
func (c *Client) probe(ctx context.Context, origin *url.URL) error {
	ctx, cancel := context.WithTimeout(ctx, c.config.StallTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, origin.JoinPath("/v2/").String(), http.NoBody)
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return clean(err)
	}
	return res.Body.Close()
}

// request is one request of the distribution-spec, which may be sent more
// than once.
type request struct {
	method string
	// path is below the origin, with its query; or location is where an
	// upload goes on.
	path     string
	location *url.URL
	header   http.Header
	// scope is what a token must allow.
	scope string
	// body gives the body anew for each try; nil for none.
	body func() (io.ReadCloser, error)
	size int64
	// once forbids repetition after the body has begun to be sent.
	once bool
}

// answer is a response whose body is watched for standstill.
type answer struct {
	*http.Response
	watch *watch
}

// do sends the request until it gets an answer other than those that pass,
// and returns it when its status is among want. The caller closes the body.
func (c *Client) do(ctx context.Context, r *request, want ...int) (*answer, error) {
	var last error
	for try := 0; ; try++ {
		res, err := c.attempt(ctx, r)
		if err == nil {
			for _, status := range want {
				if res.StatusCode == status {
					return res, nil
				}
			}
			err = failure(r, res)
		}
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		last = err
		if r.once || try >= c.config.Retries || !passes(err) {
			break
		}
		pause := c.pause(try, err)
		c.config.Log("%s; trying again in %s (%d of %d)", err, pause.Round(time.Millisecond), try+1, c.config.Retries)
		if err := Sleep(ctx, pause); err != nil {
			return nil, err
		}
	}
	return nil, c.kindOf(last)
}

// attempt sends the request once, with the credentials it needs: a first
// refusal brings the challenge that tells which, a second one is final. What
// another host than the registry refuses, no credentials help against.
func (c *Client) attempt(ctx context.Context, r *request) (*answer, error) {
	for refused := false; ; refused = true {
		res, err := c.send(ctx, r)
		if err != nil || res.StatusCode != http.StatusUnauthorized || !sameOrigin(res.Request.URL, c.origin) {
			return res, err
		}
		d := denial{what: r.what(), challenges: parseChallenges(res.Header.Values("WWW-Authenticate")), sent: res.Request.Header.Get("Authorization")}
		body, err := io.ReadAll(io.LimitReader(res.Body, maxToken))
		d.text = message(body)
		if err = errors.Join(err, discard(res)); err != nil {
			return nil, fmt.Errorf("%s: %w", d.what, err)
		}
		more := false
		if !refused {
			if more, err = c.auth.answer(ctx, d.challenges, d.sent, r.scope); err != nil {
				return nil, err
			}
		}
		if !more {
			return nil, c.denied(&d)
		}
	}
}

// send sends the request and follows redirects.
func (c *Client) send(ctx context.Context, r *request) (*answer, error) {
	origin, err := c.base(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.what(), err)
	}
	target := r.location
	if target == nil {
		if target, err = origin.Parse(r.path); err != nil {
			return nil, fmt.Errorf("%s: %w", r.what(), err)
		}
	}
	const maxHops = 10
	for range maxHops {
		res, err := c.hop(ctx, r, target)
		if err != nil {
			return nil, err
		}
		next, err := redirect(r, res, target)
		if err != nil || next == nil {
			if err != nil {
				err = errors.Join(err, discard(res))
				return nil, err
			}
			return res, nil
		}
		if err := discard(res); err != nil {
			return nil, err
		}
		target = next
	}
	return nil, fault.Refused("%s: more than %d redirects", r.what(), maxHops)
}

// hop sends one HTTP request to the target. Credentials go with it only to
// the origin.
func (c *Client) hop(ctx context.Context, r *request, target *url.URL) (*answer, error) {
	var body io.ReadCloser = http.NoBody
	if r.body != nil {
		var err error
		if body, err = r.body(); err != nil {
			return nil, err
		}
	}
	w := newWatch(ctx, c.config.StallTimeout)
	req, err := http.NewRequestWithContext(w.ctx, r.method, target.String(), http.NoBody)
	if err != nil {
		w.stop()
		return nil, errors.Join(fmt.Errorf("%s: %w", r.what(), err), body.Close())
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", c.config.UserAgent)
	if sameOrigin(target, c.origin) {
		c.auth.decorate(req, r.scope)
	}
	if r.body != nil {
		req.Body = &watchedBody{body, w}
		req.ContentLength = r.size
	}
	res, err := c.http.Do(req) //nolint:bodyclose // the caller does, with the answer
	if err != nil {
		err = fmt.Errorf("%s: %w", r.what(), w.explain(clean(err)))
		w.stop()
		return nil, err
	}
	w.progress(0)
	return &answer{Response: res, watch: w}, nil
}

// what names the request in a message, without the query of a signed URL.
func (r *request) what() string {
	path := r.path
	if r.location != nil {
		path = r.location.Host + r.location.Path
	}
	path, _, _ = strings.Cut(path, "?")
	return r.method + " " + path
}

// clean drops the URL that net/http puts before the cause: it may be signed.
func clean(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// discard ends an answer whose body does not matter; a little is read, so that
// the connection can be used again.
func discard(res *answer) error {
	_, _ = io.CopyN(io.Discard, res.Body, maxToken)
	res.watch.stop()
	if err := res.Body.Close(); err != nil {
		return fmt.Errorf("close the answer: %w", err)
	}
	return nil
}
