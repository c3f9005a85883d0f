package changeset

import (
	"errors"
	"io"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/mtree"
)

// Manifest is the mtree manifest of a rootfs as it was unpacked.
type Manifest struct {
	// Open opens the manifest. Rootfs reads it once, Tree.WriteManifest once
	// more.
	Open func() (io.ReadCloser, error)
	// SHA256 is the digest of its bytes in hex, which a record belongs to.
	SHA256 string
}

// manifestReader reads a manifest beside a walk. It holds one entry at a time.
type manifestReader struct {
	in   *mtree.Reader
	next *mtree.Entry
}

// newManifestReader reads the first entry, which must be of the root.
func newManifestReader(in io.Reader) (*manifestReader, *mtree.Entry, error) {
	m := &manifestReader{in: mtree.NewReader(in)}
	root, err := m.in.Next()
	if errors.Is(err, io.EOF) || err == nil && (root.Path != "." || root.Type != mtree.Dir) {
		return nil, nil, fault.Refused("mtree manifest: the first entry is not that of the directory \".\"")
	}
	if err != nil {
		return nil, nil, err
	}
	return m, root, m.advance()
}

func (m *manifestReader) advance() error {
	e, err := m.in.Next()
	if errors.Is(err, io.EOF) {
		m.next = nil
		return nil
	}
	m.next = e
	return err
}

// child takes the next entry when it lies in the directory dir ("" for the
// root), and returns it with its name; nil when the directory ends.
func (m *manifestReader) child(dir string) (*mtree.Entry, string, error) {
	e := m.next
	if e == nil {
		return nil, "", nil
	}
	name := e.Path
	if dir != "" {
		rest, ok := strings.CutPrefix(name, dir+"/")
		if !ok {
			return nil, "", nil
		}
		name = rest
	}
	if strings.Contains(name, "/") {
		return nil, "", fault.Refused("mtree manifest: %q comes without its directory, or not behind it", clip(e.Path))
	}
	return e, name, m.advance()
}

// skip passes over all that lies below dir.
func (m *manifestReader) skip(dir string) error {
	for m.next != nil && strings.HasPrefix(m.next.Path, dir) && strings.HasPrefix(m.next.Path[len(dir):], "/") {
		if err := m.advance(); err != nil {
			return err
		}
	}
	return nil
}
