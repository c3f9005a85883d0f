// Package bundle is the directory in which an image becomes a container: the
// rootfs, the runtime's config.json, and oci-bundle.json, which tells what
// this toolkit made there and from what.
//
// A bundle appears whole or not at all: it is staged under a temporary name
// beside its place, and renamed. It is 0700, since the setuid files of an
// image must not be in the reach of the host's other users (CVE-2021-41091).
package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// Names in a bundle.
const (
	// StateFile tells what this toolkit made in the bundle.
	StateFile = "oci-bundle.json"
	// ConfigFile is the runtime's configuration (runtime-spec bundle.md).
	ConfigFile = "config.json"
	// RootfsDir holds the root file system.
	RootfsDir = "rootfs"
	// UpperDir and WorkDir belong to the overlay mount of oci-mount.
	UpperDir = "upper"
	WorkDir  = "work"
)

// Bundle is a bundle directory.
type Bundle struct {
	// Dir is its absolute path.
	Dir string
}

// Rootfs is the absolute path of the root file system.
func (b *Bundle) Rootfs() string { return filepath.Join(b.Dir, RootfsDir) }

// Config is the absolute path of config.json, which may not be there yet.
func (b *Bundle) Config() string { return filepath.Join(b.Dir, ConfigFile) }

// Find returns the bundle that path names: the bundle itself, its rootfs, or a
// file in it. The rootfs comes first, for an image may hold files that look
// like those of a bundle.
func Find(path string) (*Bundle, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find bundle: %w", err)
	}
	info, err := os.Stat(abs)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Hint(fault.NotFound("bundle %s does not exist", abs), "make it with: oci-unpack IMAGE %s", explain.Quote(path))
	}
	if err != nil {
		return nil, fmt.Errorf("find bundle: %w", err)
	}
	parent := filepath.Dir(abs)
	if filepath.Base(abs) == RootfsDir && isBundle(parent) {
		return &Bundle{Dir: parent}, nil
	}
	if !info.IsDir() && isBundle(parent) {
		return &Bundle{Dir: parent}, nil
	}
	if info.IsDir() && (isBundle(abs) || exists(filepath.Join(abs, RootfsDir))) {
		return &Bundle{Dir: abs}, nil
	}
	return nil, fault.Hint(fault.NotFound("%s is not a bundle: it has neither %s nor %s nor %s", abs, StateFile, ConfigFile, RootfsDir),
		"make one with: oci-unpack IMAGE BUNDLE")
}

// isBundle reports whether dir has one of the files that only bundles have.
func isBundle(dir string) bool {
	return exists(filepath.Join(dir, StateFile)) || exists(filepath.Join(dir, ConfigFile))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
