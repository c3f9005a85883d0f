package run

import (
	"encoding/hex"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// maxID bounds an ID. It becomes the name of directories in /run and in every
// cgroup hierarchy, and part of a socket's path.
const maxID = 128

// CheckID refuses an ID that a runtime would refuse or that could not be the
// name of a directory: letters, digits and "_+-." only, no leading dash or
// dot, at most 128 bytes.
func CheckID(id string) error {
	if id == "" || len(id) > maxID {
		return fault.Usage("container ID %q is empty or longer than %d bytes", id, maxID)
	}
	for i := range len(id) {
		c := id[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_':
		case i > 0 && (c == '-' || c == '+' || c == '.'):
		default:
			return fault.Usage("container ID %q: byte %d is not one of a-z A-Z 0-9 _ + - . (the first: no + - .)", id, i+1)
		}
	}
	return nil
}

// NewID makes up an ID of 12 hexadecimal digits.
func NewID() (string, error) {
	var b [6]byte
	if _, err := unix.Getrandom(b[:], 0); err != nil {
		return "", fmt.Errorf("make up a container ID: %w", err)
	}
	// A letter in front, so that no tool takes it for a number.
	return "c" + hex.EncodeToString(b[:])[1:], nil
}
