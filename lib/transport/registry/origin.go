package registry

import (
	"net"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// sameOrigin reports whether two addresses have scheme, host and port in
// common.
func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "http":
		return "80"
	default:
		return "443"
	}
}

// redirect returns where an answer points, nil when it is none. Only a GET or
// HEAD may be sent elsewhere; an upload's body goes where its Location said.
func redirect(r *request, res *answer, from *url.URL) (*url.URL, error) {
	switch res.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, nil //nolint:nilnil // no redirect, and no error
	}
	if r.method != http.MethodGet && r.method != http.MethodHead {
		return nil, fault.Refused("%s: the registry redirects a %s", r.what(), r.method)
	}
	return follow(r.what(), res.Header.Get("Location"), from)
}

// follow resolves a Location and refuses those that lead to another scheme
// than HTTP, or from HTTPS to plain HTTP.
func follow(what, location string, from *url.URL) (*url.URL, error) {
	if location == "" {
		return nil, fault.Refused("%s: the answer has no Location", what)
	}
	next, err := from.Parse(location)
	if err != nil {
		return nil, fault.Refused("%s: malformed Location", what)
	}
	switch {
	case next.Scheme != "http" && next.Scheme != "https":
		return nil, fault.Refused("%s: redirected to the scheme %.20q", what, next.Scheme)
	case next.Host == "":
		return nil, fault.Refused("%s: redirected to no host", what)
	case next.Scheme == "http" && from.Scheme == "https":
		return nil, fault.Refused("%s: redirected from HTTPS to plain HTTP at %.100q", what, next.Host)
	}
	next.User = nil
	return next, nil
}

// mayAuthenticate reports whether the credentials for origin may be sent to a
// token server: to the origin itself; to a host of the same registrable
// domain by HTTPS at its usual port; or to one that was named. Another port of
// the same address may be another user's program.
func mayAuthenticate(realm, origin *url.URL, named []string) bool {
	if sameOrigin(realm, origin) {
		return true
	}
	if realm.Scheme != "https" && origin.Scheme == "https" {
		return false
	}
	for _, host := range named {
		if strings.EqualFold(host, realm.Host) || strings.EqualFold(host, realm.Hostname()) && realm.Port() == "" {
			return true
		}
	}
	if realm.Scheme != "https" || port(realm) != "443" || net.ParseIP(realm.Hostname()) != nil {
		return false
	}
	ours, err := publicsuffix.EffectiveTLDPlusOne(strings.ToLower(origin.Hostname()))
	if err != nil {
		return false
	}
	theirs, err := publicsuffix.EffectiveTLDPlusOne(strings.ToLower(realm.Hostname()))
	return err == nil && ours == theirs
}
