package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/overlay"
)

// stateDir is the state directory. Like every directory that this program
// mounts in, it is called by its own name: the kernel lists mounts by that,
// whichever symlink leads there.
func stateDir(inv *cli.Invocation) (string, error) {
	root, err := inv.Root()
	if err != nil {
		return "", err
	}
	return realPath(root)
}

// realPath is the absolute path without symlinks. What does not exist yet
// keeps its name.
func realPath(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("find %s: %w", path, err)
	}
	there, err := overlay.RealPath(abs)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return there, err
	}
	return realEntry(abs)
}

// realEntry is realPath, but for the last element, which stays what it is.
func realEntry(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("find %s: %w", path, err)
	}
	dir, err := realPath(filepath.Dir(abs))
	return filepath.Join(dir, filepath.Base(abs)), err
}
