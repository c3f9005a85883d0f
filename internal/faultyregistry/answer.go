// Package faultyregistry gives the answers of a registry that misbehaves, for
// tests of what asks it. A mode names what is wrong; a mode that is unknown, or
// that is about something else, is answered rightly.
package faultyregistry

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

const chunk = 1 << 20

// Manifest answers the nth request for a manifest. The header, but for the
// length, is the caller's.
func Manifest(w http.ResponseWriter, mode string, n int, body []byte) {
	switch {
	case mode == "man429" && n <= 2:
		busy(w)
	case mode == "man500" && n <= 2:
		w.WriteHeader(http.StatusInternalServerError)
	case mode == "mandigest":
		send(w, append([]byte(" "), body...), len(body)+1)
	case mode == "manbig":
		_, _ = w.Write(body)
		flood(w, ' ', 512)
	default:
		send(w, body, len(body))
	}
}

// Blob answers the nth request for a blob.
func Blob(w http.ResponseWriter, r *http.Request, mode string, n int, body []byte) {
	half := len(body) / 2
	switch {
	case mode == "trunc1" && n == 1, mode == "truncall", mode == "badrange" && n == 1, mode == "norange" && n == 1:
		send(w, body[:half], len(body))
	case mode == "stall" && n == 1, mode == "stallall":
		send(w, body[:half], len(body))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	case mode == "shortcl":
		send(w, body[:half], half)
	case mode == "longer":
		_, _ = w.Write(body)
		flood(w, 0, 1)
	case mode == "longercl":
		send(w, append(bytes.Clone(body), make([]byte, chunk)...), len(body)+chunk)
	case mode == "endless":
		_, _ = w.Write(body)
		flood(w, 0, 2048)
	case mode == "wrongdigest":
		wrong := bytes.Clone(body)
		wrong[half] ^= 1
		send(w, wrong, len(wrong))
	case mode == "b429" && n <= 2:
		busy(w)
	case mode == "b503" && n <= 2, mode == "b503all":
		w.WriteHeader(http.StatusServiceUnavailable)
	case mode == "b500" && n <= 1:
		w.WriteHeader(http.StatusInternalServerError)
	case mode == "reset1" && n == 1, mode == "resetall":
		Reset(w)
	case mode == "redirloop":
		http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
	case mode == "redirfile":
		w.Header().Set("Location", "file:///etc/passwd")
		w.WriteHeader(http.StatusTemporaryRedirect)
	case mode == "badrange":
		w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(body)-1, len(body)))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(body)
	case mode == "norange":
		send(w, body, len(body)) // from the start, whatever was asked for
	default:
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	}
}

// Reset breaks the connection off before a byte has been sent.
func Reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		err = tcp.SetLinger(0)
	}
	_ = errors.Join(err, conn.Close()) // the client sees that it is gone
}

// send announces the length and sends the body, of which the client may have
// had enough.
func send(w http.ResponseWriter, body []byte, length int) {
	w.Header().Set("Content-Length", strconv.Itoa(length))
	_, _ = w.Write(body)
}

// flood sends so many MiB of a byte, or until the client goes.
func flood(w http.ResponseWriter, b byte, chunks int) {
	piece := bytes.Repeat([]byte{b}, chunk)
	for range chunks {
		if _, err := w.Write(piece); err != nil {
			return
		}
	}
}

func busy(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusTooManyRequests)
}
