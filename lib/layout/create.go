package layout

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/durable"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

const (
	marker     = `{"imageLayoutVersion":"1.0.0"}`
	emptyIndex = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`
)

// Create opens the layout in dir for writing, and makes it when it is not
// there. A directory with other things in it is left alone.
func Create(ctx context.Context, dir string, options ...Option) (*Layout, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("create layout %s: %w", dir, err)
	}
	if err := makeDirs(abs); err != nil {
		return nil, fmt.Errorf("create layout: %w", err)
	}
	l := &Layout{dir: abs, blobs: filepath.Join(abs, blobsDir)}
	for _, o := range options {
		o(l)
	}
	if _, err := os.Lstat(filepath.Join(abs, markerFile)); errors.Is(err, fs.ErrNotExist) {
		if err := l.initialize(ctx); err != nil {
			return nil, err
		}
	}
	return l, l.checkMarker()
}

// initialize writes what an empty layout has, under the lock: two creators
// both succeed. The marker comes last, since it is what makes a layout.
func (l *Layout) initialize(ctx context.Context) error {
	unlock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := l.checkVacant(); err != nil {
		return err
	}
	if err := makeDirs(filepath.Join(l.blobs, "sha256")); err != nil {
		return fmt.Errorf("create layout: %w", err)
	}
	for _, file := range []struct{ name, content string }{{indexFile, emptyIndex}, {markerFile, marker}} {
		path := filepath.Join(l.dir, file.name)
		if _, err := os.Lstat(path); err == nil {
			continue
		}
		if err := replaceFile(path, []byte(file.content)); err != nil {
			return fmt.Errorf("create layout: %w", err)
		}
	}
	return durable.SyncDir(l.dir)
}

// checkVacant allows what a creator that was killed may have left, only.
func (l *Layout) checkVacant() error {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return fmt.Errorf("create layout: %w", err)
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case name == indexFile, name == markerFile, name == blobsDir, strings.HasPrefix(name, durable.TempPrefix):
		default:
			return fault.Hint(fmt.Errorf("%s is not empty and not an OCI layout: it has %q", l.dir, name),
				"name an empty or new directory")
		}
	}
	return nil
}

// makeDirs makes the directory and its missing parents, and makes their names
// durable: a tag in a layout that a power cut removes would be lost.
func makeDirs(dir string) error {
	switch info, err := os.Stat(dir); {
	case err == nil && !info.IsDir():
		return fmt.Errorf("%s is not a directory", dir)
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := filepath.Dir(dir)
	if err := makeDirs(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return durable.SyncDir(parent)
}
