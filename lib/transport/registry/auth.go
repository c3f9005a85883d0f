package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// maxToken bounds what a token server, or an error, may say.
const maxToken = 64 << 10

// authorizer keeps what the registry accepted so far.
type authorizer struct {
	client *Client
	mu     sync.Mutex
	basic  bool
	tokens map[string]token // by scope
	fetch  sync.Mutex       // one token request at a time
}

// token is an opaque bearer token. It is good for its scope, and only for the
// registry that asked for it.
type token struct {
	value   string
	expires time.Time
	// withheld is the token server that did not get the credentials; "" when
	// it got them, or there are none.
	withheld string
}

// decorate adds credentials to a request to the origin.
func (a *authorizer) decorate(req *http.Request, scope string) {
	config := &a.client.config
	if config.Token != "" {
		req.Header.Set("Authorization", "Bearer "+config.Token)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if t, ok := a.tokens[scope]; ok && time.Now().Before(t.expires) {
		req.Header.Set("Authorization", "Bearer "+t.value)
		return
	}
	if a.basic {
		req.SetBasicAuth(config.Username, config.Password)
	}
}

// answer learns from the challenges of a 401 what the registry wants, and
// reports whether another try makes sense. sent is the Authorization that the
// refused request carried: others may have learned more meanwhile.
func (a *authorizer) answer(ctx context.Context, challenges []challenge, sent, scope string) (bool, error) {
	config := &a.client.config
	if config.Token != "" {
		return false, nil
	}
	for _, c := range challenges {
		switch c.scheme {
		case "bearer":
			return true, a.bearer(ctx, c, sent, scope)
		case "basic":
			if config.Username == "" || strings.HasPrefix(sent, "Basic ") {
				return false, nil
			}
			a.mu.Lock()
			a.basic = true
			a.mu.Unlock()
			return true, nil
		}
	}
	return false, nil
}

// bearer fetches a token, unless another goroutine has done so meanwhile.
func (a *authorizer) bearer(ctx context.Context, c challenge, sent, scope string) error {
	a.fetch.Lock()
	defer a.fetch.Unlock()
	a.mu.Lock()
	known, ok := a.tokens[scope]
	a.mu.Unlock()
	if ok && sent != "Bearer "+known.value {
		return nil
	}
	t, err := a.client.token(ctx, c, scope)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tokens == nil {
		a.tokens = make(map[string]token)
	}
	a.tokens[scope] = *t
	return nil
}

// token asks the token server for a token (distribution-spec's companion, the
// token authentication specification). Whether that server may see the
// credentials is for mayAuthenticate to say; else it is asked without them,
// which is enough for what is public.
func (c *Client) token(ctx context.Context, ch challenge, scope string) (*token, error) {
	realm, err := url.Parse(ch.parameters["realm"])
	if err != nil || realm.Host == "" || realm.Scheme != "https" && realm.Scheme != "http" {
		return nil, fault.Refused("the registry %s names a malformed token server", c.config.Host)
	}
	if realm.Scheme == "http" && (c.origin.Scheme == "https" || !c.config.Insecure) {
		return nil, fault.Refused("the registry %s names a token server with plain HTTP, %.100q", c.config.Host, realm.Host)
	}
	realm.User = nil
	may := mayAuthenticate(realm, c.origin, c.config.TokenHosts)
	scopes := strings.Fields(scope)
	if len(scopes) == 0 {
		scopes = strings.Fields(ch.parameters["scope"])
	}
	var t *token
	err = c.tries(ctx, func() error {
		t, err = c.tokenOnce(ctx, realm, ch.parameters["service"], scopes, may)
		return err
	})
	withheld := ""
	if c.config.hasAccount() && !may {
		withheld = realm.Host
	}
	if err != nil {
		return nil, c.tokenDenied(err, realm.Host, withheld)
	}
	t.withheld = withheld
	return t, nil
}

func (c *Client) tokenOnce(ctx context.Context, realm *url.URL, service string, scopes []string, may bool) (*token, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.StallTimeout)
	defer cancel()
	req, err := tokenRequest(ctx, realm, service, scopes, may, &c.config)
	if err != nil {
		return nil, fmt.Errorf("token request: %w", err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("token server %s: %w", realm.Host, clean(err))
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxToken+1))
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return nil, fmt.Errorf("token server %s: %w", realm.Host, err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, &StatusError{What: "token server " + realm.Host, Status: res.StatusCode, Text: message(body), after: retryAfter(res)}
	}
	if len(body) > maxToken {
		return nil, fault.Refused("token server %s: the answer is larger than %d bytes", realm.Host, maxToken)
	}
	return parseToken(realm.Host, body)
}

// tokenRequest is a POST of OAuth2 with a refresh token, and a GET with Basic
// credentials otherwise.
func tokenRequest(ctx context.Context, realm *url.URL, service string, scopes []string, may bool, config *Config) (*http.Request, error) {
	form := realm.Query()
	if service != "" {
		form.Set("service", service)
	}
	for _, scope := range scopes {
		form.Add("scope", scope)
	}
	if may && config.IdentityToken != "" {
		form.Set("grant_type", "refresh_token")
		form.Set("refresh_token", config.IdentityToken)
		form.Set("client_id", "oci-copy")
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, realm.String(), strings.NewReader(form.Encode()))
		if err == nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("User-Agent", config.UserAgent)
		}
		return req, err
	}
	target := *realm
	if may && config.Username != "" {
		form.Set("account", config.Username)
	}
	target.RawQuery = form.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", config.UserAgent)
	if may && config.Username != "" {
		req.SetBasicAuth(config.Username, config.Password)
	}
	return req, nil
}

func parseToken(host string, body []byte) (*token, error) {
	var t struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"` //nolint:tagliatelle // the specification's name
		ExpiresIn   int    `json:"expires_in"`   //nolint:tagliatelle // the specification's name
	}
	if err := json.Unmarshal(body, &t); err != nil {
		return nil, fault.Refused("token server %s: malformed answer", host)
	}
	if t.Token == "" {
		t.Token = t.AccessToken
	}
	if t.Token == "" || strings.ContainsAny(t.Token, "\r\n\x00 ") {
		return nil, fault.Refused("token server %s: the answer holds no usable token", host)
	}
	// A minute is what the specification says for none; some margin keeps a
	// token from ending on its way.
	life := time.Duration(max(t.ExpiresIn, 60)) * time.Second
	return &token{value: t.Token, expires: time.Now().Add(life - 10*time.Second)}, nil
}
