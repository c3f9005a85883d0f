package registry

import (
	"errors"
	"io"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// heldBack keeps the last byte back until the reader has told, by its end, that
// the bytes were the right ones. Else the registry would have all of the wrong
// ones before that, and its refusal would hide whose fault it is.
type heldBack struct {
	io.ReadCloser
	left int64 // bytes that are still to be handed out
}

func (h *heldBack) Read(p []byte) (int, error) {
	switch {
	case len(p) == 0:
		return 0, nil
	case h.left > 1:
		n, err := h.ReadCloser.Read(p[:min(int64(len(p)), h.left-1)])
		h.left -= int64(n)
		return n, notEnd(err)
	case h.left == 0:
		return 0, io.EOF
	}
	if _, err := io.ReadFull(h.ReadCloser, p[:1]); err != nil {
		return 0, notEnd(err)
	}
	var more [1]byte
	switch n, err := io.ReadFull(h.ReadCloser, more[:]); {
	case n > 0:
		return 0, fault.Refused("the blob is longer than its descriptor says")
	case !errors.Is(err, io.EOF):
		return 0, err
	}
	h.left = 0
	return 1, nil
}
