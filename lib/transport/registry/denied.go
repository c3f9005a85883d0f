package registry

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// denial is the last 401 of the registry to a request.
type denial struct {
	what       string
	challenges []challenge
	// sent is the Authorization that the request had.
	sent string
	// text is what the registry says about it.
	text string
}

// hasAccount reports whether there is something that a token server wants.
func (c *Config) hasAccount() bool { return c.IdentityToken != "" || c.Username != "" }

// account names whose credentials were given, without them.
func (c *Config) account() string {
	if c.Username == "" {
		return "the identity token"
	}
	return "the credentials of " + c.Username
}

// denied tells credentials that were not given from those that were given and
// refused, and from those that were held back.
func (c *Client) denied(d *denial) error {
	c.auth.mu.Lock()
	withheld := ""
	for _, t := range c.auth.tokens {
		if d.sent == "Bearer "+t.value {
			withheld = t.withheld
		}
	}
	c.auth.mu.Unlock()
	known := slices.ContainsFunc(d.challenges, func(ch challenge) bool { return ch.scheme == "basic" || ch.scheme == "bearer" })
	switch {
	case withheld != "":
		return held(c.wanted(d.what), withheld)
	case c.config.Token != "":
		return fault.Hint(refusal(d.what, "the registry "+c.config.Host, "the bearer token", d.text),
			"get a new one for --src-registry-token or --dest-registry-token, or give an account with --creds USER")
	case strings.HasPrefix(d.sent, "Basic "), strings.HasPrefix(d.sent, "Bearer ") && c.config.hasAccount():
		return c.recheck(refusal(d.what, "the registry "+c.config.Host, c.config.account(), d.text))
	case !known:
		return fmt.Errorf("%s: the registry %s answers 401 Unauthorized, and asks for neither password nor token", d.what, c.config.Host)
	default:
		return c.login(c.wanted(d.what))
	}
}

// tokenDenied does the same for what a token server answers.
func (c *Client) tokenDenied(err error, host, withheld string) error {
	var status *StatusError
	refused := errors.As(err, &status) && status.Status == http.StatusUnauthorized
	wanted := fmt.Errorf("token server %s of the registry %s wants credentials", host, c.config.Host)
	switch {
	case refused && withheld != "":
		return held(wanted, withheld)
	case withheld != "":
		return held(err, withheld)
	case refused && c.config.hasAccount():
		return c.recheck(refusal(status.What, "it", c.config.account(), status.Text))
	case refused:
		return c.login(wanted)
	default:
		return err
	}
}

func (c *Client) wanted(what string) error {
	return fmt.Errorf("%s: the registry %s wants credentials", what, c.config.Host)
}

// refusal is the error for credentials that were presented.
func refusal(what, who, whose, text string) error {
	err := fmt.Errorf("%s: %s refuses %s: %d %s", what, who, whose, http.StatusUnauthorized, http.StatusText(http.StatusUnauthorized))
	if text != "" {
		err = fmt.Errorf("%w (%s)", err, text)
	}
	return err
}

func held(err error, server string) error {
	return fault.Hint(err, "the credentials were not sent to %s, which is another host than the registry; if that is right: --allow-token-server %s", server, server)
}

func (c *Client) login(err error) error {
	return fault.Hint(err, "give them with --creds USER, --authfile FILE, or log in with: podman login %s", c.config.Host)
}

func (c *Client) recheck(err error) error {
	return fault.Hint(err, "check name and password: --creds USER, --authfile FILE, or log in anew with: podman login %s", c.config.Host)
}
