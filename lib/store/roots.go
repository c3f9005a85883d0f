package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// AddRoot notes that the directory, a bundle or a layout, uses layers of this
// store: eviction asks it which. The note is a symlink, so that it says
// itself what it means, and a directory that is gone needs no goodbye.
func (s *Store) AddRoot(dir string) error {
	link := s.Note(dir)
	if there, err := os.Readlink(link); err == nil && there == dir {
		return nil
	}
	if err := os.Symlink(dir, link); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("note the use of layers by %s: %w", dir, err)
	}
	return nil
}

// Note is the symlink by which the store knows of the directory.
func (s *Store) Note(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return s.path("roots", hex.EncodeToString(sum[:12]))
}

// Roots lists the directories that use layers of this store.
func (s *Store) Roots() ([]string, error) { return s.roots(true) }

// roots lists the directories that use layers, and drops those that are gone
// unless dry is set.
func (s *Store) roots(dry bool) ([]string, error) {
	entries, err := os.ReadDir(s.path("roots"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the users of layers: %w", err)
	}
	var dirs []string
	for _, e := range entries {
		link := s.path("roots", e.Name())
		dir, err := os.Readlink(link)
		if err != nil {
			return nil, fmt.Errorf("list the users of layers: %w", err)
		}
		err = unix.Access(dir, unix.F_OK)
		switch {
		case err == nil:
			dirs = append(dirs, dir)
		case !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR):
			// Not reachable now is not gone: an unmounted disk may come back.
			return nil, fmt.Errorf("look at %s, which uses layers: %w", dir, err)
		case !dry:
			if err := os.Remove(link); err != nil {
				return nil, fmt.Errorf("drop the note on %s: %w", dir, err)
			}
		}
	}
	return dirs, nil
}
