package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// StatusError is an answer with a status that was not hoped for.
type StatusError struct {
	// What names the request.
	What string
	// Status is that of HTTP.
	Status int
	// Text is what the server says, shortened and made printable.
	Text string

	after time.Duration
}

func (e *StatusError) Error() string {
	s := fmt.Sprintf("%s: the registry answers %d %s", e.What, e.Status, http.StatusText(e.Status))
	if e.Text != "" {
		s += " (" + e.Text + ")"
	}
	return s
}

// failure makes an error of an answer, and closes it.
func failure(r *request, res *answer) error {
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxToken))
	res.watch.stop()
	return errors.Join(&StatusError{What: r.what(), Status: res.StatusCode, Text: message(body), after: retryAfter(res.Response)}, res.Body.Close())
}

// message makes what a server says fit for a terminal: the errors of the
// distribution-spec when it sent such, else its text.
func message(body []byte) string {
	var reply struct {
		Errors []struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &reply) == nil && len(reply.Errors) > 0 {
		first := reply.Errors[0]
		return printable(strings.ToLower(strings.ReplaceAll(first.Code, "_", " ")) + ": " + first.Message)
	}
	return printable(string(body))
}

func printable(s string) string {
	text := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	text = strings.Join(strings.Fields(text), " ")
	const most = 200
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}

// retryAfter reads the header in either form, seconds or a date.
func retryAfter(res *http.Response) time.Duration {
	value := res.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil && seconds >= 0 {
		return time.Duration(min(seconds, 3600)) * time.Second
	}
	if when, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(when))
	}
	return 0
}

// errStalled is the cause of a request that its watch has ended.
var errStalled = errors.New("nothing arrived")

// passes reports whether a repetition may help.
func passes(err error) bool {
	var status *StatusError
	var dns *net.DNSError
	var network net.Error
	switch {
	case err == nil, fault.Kind(err) != nil && !errors.Is(err, fault.ErrTemporary):
		return false
	case errors.As(err, &status):
		switch status.Status {
		case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
			http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
		return false
	case errors.As(err, &dns):
		return dns.IsTemporary || dns.IsTimeout
	case errors.Is(err, errStalled), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return true
	case errors.As(err, &network) && network.Timeout():
		return true
	}
	for _, number := range []syscall.Errno{
		syscall.ECONNRESET, syscall.ECONNREFUSED, syscall.ECONNABORTED, syscall.EPIPE,
		syscall.ETIMEDOUT, syscall.ENETUNREACH, syscall.EHOSTUNREACH,
	} {
		if errors.Is(err, number) {
			return true
		}
	}
	return strings.Contains(err.Error(), "stream error") || strings.Contains(err.Error(), "server closed idle connection") ||
		strings.Contains(err.Error(), "GOAWAY") || strings.Contains(err.Error(), "connection broken")
}

// kindOf gives the final error its kind.
func (c *Client) kindOf(err error) error {
	var status *StatusError
	switch {
	case passes(err):
		return fault.As(fault.ErrTemporary, err)
	case errors.As(err, &status) && status.Status == http.StatusNotFound:
		return fault.As(fault.ErrNotFound, err)
	case errors.As(err, &status) && (status.Status == http.StatusUnauthorized || status.Status == http.StatusForbidden):
		return fault.Hint(err, "check the credentials: --creds USER, --authfile FILE, or log in with: podman login %s", c.config.Host)
	case errors.Is(err, fs.ErrNotExist):
		return fault.As(fault.ErrNotFound, err)
	case err != nil && plainHTTP(err):
		return fault.Hint(err, "the registry speaks plain HTTP; to allow that: --tls-verify=false")
	case err != nil && strings.Contains(err.Error(), "failed to verify certificate"):
		return fault.Hint(err, "name its CA with --cert-dir DIR, or trust it unseen with --tls-verify=false")
	default:
		return err
	}
}

// plainHTTP reports whether the registry speaks no HTTPS.
func plainHTTP(err error) bool {
	return strings.Contains(err.Error(), "HTTP response to HTTPS client") || strings.Contains(err.Error(), "does not look like a TLS handshake")
}

// pause is how long to wait before the next try: as long as the server said,
// up to a minute, else a random time below a bound that doubles.
func (c *Client) pause(try int, err error) time.Duration {
	const longest = time.Minute
	var status *StatusError
	if errors.As(err, &status) && status.after > 0 {
		return min(status.after, longest)
	}
	bound := min(c.config.Backoff<<min(try, 10), longest)
	return bound/2 + rand.N(bound/2+1) //nolint:gosec // spreads load, guards nothing
}

// tries repeats what may pass.
func (c *Client) tries(ctx context.Context, do func() error) error {
	for try := 0; ; try++ {
		err := do()
		if cause := context.Cause(ctx); err != nil && cause != nil {
			return cause
		}
		var given givenUp
		if errors.As(err, &given) {
			return given.error
		}
		if err == nil || try >= c.config.Retries || !passes(err) {
			return c.kindOf(err)
		}
		pause := c.pause(try, err)
		c.config.Log("%s; trying again in %s (%d of %d)", err, pause.Round(time.Millisecond), try+1, c.config.Retries)
		if err := Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// givenUp is an error after which do has tried often enough: it keeps an outer
// loop from repeating what the inner one gave up.
type givenUp struct{ error }

func (g givenUp) Unwrap() error { return g.error }

// Sleep waits for d, or until the context ends, whose cause it then returns.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
