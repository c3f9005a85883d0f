package transport

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"regexp"
	"strings"
	"syscall"

	"go.podman.io/image/v5/docker"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// classify gives an error of the image library its kind. Most of them are
// plain text, so that the text has to tell; errors of this package have their
// kind already.
func classify(err error) error {
	if err == nil || fault.Kind(err) != nil {
		return err
	}
	var unauthorized docker.ErrUnauthorizedForCredentials
	if errors.As(err, &unauthorized) {
		return fault.Hint(err, "give credentials with --creds USER, --authfile FILE, or log in with: podman login REGISTRY")
	}
	if strings.Contains(err.Error(), "loading SIF file") && !errors.Is(err, fs.ErrNotExist) {
		// Its end may come early, which over a network would be temporary.
		return fault.As(fault.ErrRefused, err)
	}
	if temporary(err) {
		return fault.As(fault.ErrTemporary, err)
	}
	text := err.Error()
	for _, t := range []struct {
		kind error
		text *regexp.Regexp
	}{
		{fault.ErrRefused, mismatch},
		{fault.ErrNotFound, missing},
	} {
		if t.text.MatchString(text) {
			return fault.As(t.kind, err)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fault.As(fault.ErrNotFound, err)
	}
	if len(fault.Hints(err)) == 0 && strings.Contains(text, "gave HTTP response to HTTPS client") {
		return fault.Hint(err, "the registry speaks plain HTTP: allow it with --tls-verify=false")
	}
	return err
}

var (
	mismatch = regexp.MustCompile(`(?i)digest did not match|does not match (provided manifest )?digest|size mismatch|invalid checksum|manifest list.*(malformed|invalid)`)
	missing  = regexp.MustCompile(`(?i)manifest unknown|name unknown|manifest for .* not found|repository name not known|no image found|not found in archive|reference .* does not match any of|does not resolve to an image ID`)
)

// temporary reports whether a retry may help.
func temporary(err error) bool {
	var netErr net.Error
	var dns *net.DNSError
	var status docker.UnexpectedHTTPStatusError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, fs.ErrNotExist):
		return false
	case errors.As(err, &dns):
		return dns.IsTemporary || dns.IsTimeout
	case errors.As(err, &status):
		return retryable(status.StatusCode)
	case errors.Is(err, docker.ErrTooManyRequests), errors.Is(err, io.ErrUnexpectedEOF):
		return true
	case errors.As(err, &netErr) && netErr.Timeout():
		return true
	}
	for _, number := range []syscall.Errno{syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE, syscall.ETIMEDOUT, syscall.ENETUNREACH, syscall.EHOSTUNREACH} {
		if errors.Is(err, number) {
			return true
		}
	}
	return false
}

// retryable are the statuses of HTTP that pass.
func retryable(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	default:
		return false
	}
}
