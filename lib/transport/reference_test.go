package transport

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"testing"

	"go.podman.io/image/v5/storage"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

func TestOnlyGrammarIsUsage(t *testing.T) {
	denied := &fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}
	gone := &fs.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}
	for _, c := range []struct {
		transport string
		end       side
		err, kind error
	}{
		{"oci", source, errors.New("no such grammar"), fault.ErrUsage},
		{"oci", source, denied, nil},
		{"oci", source, gone, fault.ErrNotFound},
		{"oci", destination, gone, nil},
		{"oci", destination, fault.Refused("by its content"), fault.ErrRefused},
		{"containers-storage", source, errors.New("mounting private"), nil},
		{"containers-storage", source, fmt.Errorf("x: %w", storage.ErrInvalidReference), fault.ErrUsage},
	} {
		err := unparsed(c.transport, c.end, c.err)
		if kind := fault.Kind(err); kind != c.kind {
			t.Errorf("%s %s %v has the kind %v, want %v", c.transport, c.end, c.err, kind, c.kind)
		}
		if store := c.kind == nil && c.transport == "containers-storage" && os.Geteuid() != 0; store != (len(fault.Hints(err)) > 0) {
			t.Errorf("%s %v has the hints %q", c.transport, c.err, fault.Hints(err))
		}
	}
}
