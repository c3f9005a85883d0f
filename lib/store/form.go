package store

import (
	"fmt"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
)

// Form is how layers are written down. Layers of different forms are
// different files for the same digest, so that each form has its own
// directory.
type Form struct {
	// UserXattr keeps overlay's marks in user.overlay.*, for mounts that an
	// unprivileged user makes.
	UserXattr bool
	// UIDMap and GIDMap say which ids own the files on disk; empty is the
	// identity.
	UIDMap, GIDMap idmap.Map
}

// suffix is the readable name of the form, empty for root's own.
func (f Form) suffix() string {
	var words []string
	if f.UserXattr {
		words = append(words, "user")
	}
	for _, r := range f.UIDMap {
		words = append(words, fmt.Sprintf("u%d-%d-%d", r.Container, r.Host, r.Size))
	}
	if !f.GIDMap.Equal(f.UIDMap) {
		for _, r := range f.GIDMap {
			words = append(words, fmt.Sprintf("g%d-%d-%d", r.Container, r.Host, r.Size))
		}
	}
	if len(words) == 0 {
		return ""
	}
	return "-" + strings.Join(words, "_")
}
