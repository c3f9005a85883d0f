package transport

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"go.podman.io/image/v5/directory"
	"go.podman.io/image/v5/docker"
	dockerarchive "go.podman.io/image/v5/docker/archive"
	"go.podman.io/image/v5/docker/daemon"
	"go.podman.io/image/v5/docker/reference"
	ociarchive "go.podman.io/image/v5/oci/archive"
	"go.podman.io/image/v5/sif"
	"go.podman.io/image/v5/storage"
	"go.podman.io/image/v5/tarball"
	"go.podman.io/image/v5/transports"
	"go.podman.io/image/v5/types"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
)

// side is the end of a copy that a reference stands for.
type side int

const (
	source side = iota
	destination
)

func (s side) String() string {
	if s == source {
		return "source"
	}
	return "destination"
}

// library are the transports that the image library serves, by name.
var library = map[string]types.ImageTransport{
	"containers-storage": storage.Transport,
	"docker":             docker.Transport,
	"docker-archive":     dockerarchive.Transport,
	"docker-daemon":      daemon.Transport,
	"dir":                directory.Transport,
	"oci-archive":        ociarchive.Transport,
	"sif":                sif.Transport,
	"tarball":            tarball.Transport,
}

// readOnly are the transports that cannot be a destination.
var readOnly = []string{"sif", "tarball"}

// Transports lists the transports of this build in the form in which a
// reference begins with them.
func Transports() []string {
	names := []string{"oci:"}
	for name := range library {
		if name == "docker" {
			name = "docker://"
		} else {
			name += ":"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// target is one end of a copy.
type target struct {
	// transport is its name, without the colon.
	transport string
	// name is what stands behind the colon.
	name string
	// ref reaches it.
	ref types.ImageReference
	// layout is set for oci.
	layout layout.Reference
	// made are directories that were made for the destination, the deepest
	// first.
	made []string
}

// parse reads a reference of any transport.
func (c *Copier) parse(s string, end side) (_ *target, err error) {
	transport, name, ok := strings.Cut(s, ":")
	if !ok {
		return nil, unknownTransport(s, end)
	}
	if end == destination && slices.Contains(readOnly, transport) {
		return nil, fault.Usage("%s: cannot be a destination; it can only be read", transport)
	}
	t := &target{transport: transport, name: name}
	defer func() {
		if err != nil {
			unmake(t.made)
		}
	}()
	switch known := library[transport]; {
	case transport == "oci":
		if t.layout, err = layout.ParseReference(s); err == nil {
			err = t.makeRoom(t.layout.Dir, end)
		}
		if err == nil {
			t.ref, err = c.newLayoutRef(t.layout, end)
		}
	case transport == "docker":
		if t.ref, err = known.ParseReference(name); err == nil {
			t.ref = &registryRef{ImageReference: t.ref, copier: c, named: t.ref.DockerReference()}
		}
	case transport == "oci-archive":
		t.ref, err = c.newArchiveRef(known, ociArchive, name, end)
	case transport == "docker-archive":
		t.ref, err = c.newArchiveRef(known, dockerArchive, name, end)
	case transport == "sif":
		if t.ref, err = known.ParseReference(name); err == nil {
			err = sifPrograms()
		}
	case transport == "dir" && end == destination:
		t.ref, err = newDirRef(name)
	case known != nil:
		t.ref, err = known.ParseReference(name)
	default:
		return nil, unknownTransport(s, end)
	}
	if err != nil {
		return nil, unparsed(transport, end, fmt.Errorf("%s %q: %w", end, s, err))
	}
	return t, nil
}

// unparsed gives an error of parse its kind. Only the grammar of a reference is
// a matter of usage, and not what the file system or the store of
// containers-storage says when the reference is resolved.
func unparsed(transport string, end side, err error) error {
	var number syscall.Errno
	switch {
	case transport == "containers-storage" && !malformedInStorage(err):
		if os.Geteuid() != 0 {
			return fault.Hint(err, "without root the store takes the user namespace of Podman: podman unshare {tool} ...")
		}
		return err
	case errors.Is(err, fs.ErrNotExist) && end == source:
		return fault.As(fault.ErrNotFound, err)
	case errors.As(err, &number), errors.Is(err, fs.ErrNotExist):
		return err
	default:
		return fault.As(fault.ErrUsage, err)
	}
}

// malformedInStorage reports whether the library found fault with the reference
// itself.
func malformedInStorage(err error) bool {
	for _, grammar := range []error{storage.ErrInvalidReference, storage.ErrPathNotAbsolute, reference.ErrReferenceInvalidFormat, reference.ErrNameContainsUppercase} {
		if errors.Is(err, grammar) {
			return true
		}
	}
	return false
}

// makeRoom makes a layout's directory: the library resolves the symbolic links
// of its path, or at least of its parent's, before it writes.
func (t *target) makeRoom(dir string, end side) error {
	if end == source {
		return nil
	}
	var err error
	if t.made, err = madeDirs(dir); err != nil {
		return fmt.Errorf("create %s: %w", dir, err)
	}
	return nil
}

// sifPrograms finds the programs with which the library takes a SIF image's
// squashfs apart.
func sifPrograms() error {
	for _, name := range []string{"unsquashfs", "fakeroot"} {
		if _, err := exec.LookPath(name); err != nil {
			return fault.Hint(fmt.Errorf("sif: needs %s, which is not in PATH", name), "apt-get install squashfs-tools fakeroot")
		}
	}
	return nil
}

// cutTransport splits TRANSPORT:NAME.
func cutTransport(s string) (transport, name string) {
	transport, name, _ = strings.Cut(s, ":")
	return transport, name
}

func unknownTransport(s string, end side) error {
	err := fault.Usage("%s %q does not begin with a transport; there are %s", end, s, strings.Join(Transports(), " "))
	if filepath.IsAbs(s) || strings.HasPrefix(s, ".") {
		return fault.Hint(err, "an OCI layout is written oci:%s", s)
	}
	return fault.Hint(err, "an image of a registry is written docker://%s, one in a layout oci:DIR:TAG", s)
}

// String is the reference in a form that can be typed again anywhere: paths in
// it are absolute. It is empty for a stream, which cannot be named.
func (t *target) String() string {
	if r, ok := t.ref.(*archiveRef); ok && r.path == "-" {
		return ""
	}
	switch t.transport {
	case "oci":
		return t.layout.String()
	case "dir", "oci-archive", "docker-archive", "sif":
		path, rest, hasRest := strings.Cut(t.name, ":")
		abs, err := filepath.Abs(path)
		if err != nil {
			abs = path
		}
		if hasRest {
			abs += ":" + rest
		}
		return t.transport + ":" + abs
	default:
		return transports.ImageName(t.ref)
	}
}
