package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// Eviction removes the layers that nobody needs.
type Eviction struct {
	// Begin is called once the store is held alone: no mount begins from
	// then on, so that what is listed now stays true.
	Begin func() error
	// Needs returns the keys that the bundle or layout dir needs; it may
	// remove the directory when it holds nothing worth keeping, unless Dry.
	// While it fails for one, no layer is removed.
	Needs func(ctx context.Context, dir string) ([]Key, error)
	// InUse reports whether the entry at path is part of a mount, whatever
	// the bundles say.
	InUse func(path string) bool
	// Removed is told of each entry that is about to go.
	Removed func(Entry) error
	// Dry removes nothing.
	Dry bool
}

// Evict removes every layer of every form that no root needs, and what dead
// processes left. It holds the store alone meanwhile: a store in which layers
// are being made or mounted is an error of kind fault.ErrTemporary.
func (s *Store) Evict(ctx context.Context, e Eviction) error {
	if _, err := os.Lstat(s.root); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if !e.Dry {
		if err := s.prepare(); err != nil {
			return err
		}
		release, err := s.exclude(ctx)
		if err != nil {
			return err
		}
		defer release()
		if err := errors.Join(s.sweep(), s.sweepNotes()); err != nil {
			return err
		}
	}
	if err := e.Begin(); err != nil {
		return err
	}
	needed, err := s.needed(ctx, e)
	if err != nil {
		return err
	}
	entries, err := s.Entries()
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if needed[entry.Key] || e.InUse(entry.Path) {
			continue
		}
		if err := e.Removed(entry); err != nil {
			return err
		}
		if e.Dry {
			continue
		}
		if err := s.remove(ctx, entry); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) needed(ctx context.Context, e Eviction) (map[Key]bool, error) {
	dirs, err := s.roots(e.Dry)
	if err != nil {
		return nil, err
	}
	needed := make(map[Key]bool)
	var errs []error
	for _, dir := range dirs {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		keys, err := e.Needs(ctx, dir)
		errs = append(errs, err)
		for _, key := range keys {
			needed[key] = true
		}
	}
	return needed, fault.Several(errs...)
}

// Entries lists what the store holds, in all forms.
func (s *Store) Entries() ([]Entry, error) {
	shelves, err := s.shelves()
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, shelf := range shelves {
		for _, name := range shelf.names {
			image := strings.HasSuffix(name.Name(), imageSuffix)
			if !name.IsDir() && !image {
				continue
			}
			hex := strings.TrimSuffix(name.Name(), imageSuffix)
			entries = append(entries, Entry{
				Key:   Key{Kind: shelf.kind, Digest: digest.NewDigestFromEncoded(shelf.algorithm, hex)},
				Path:  filepath.Join(shelf.dir, name.Name()),
				Image: image,
				base:  filepath.Join(shelf.dir, hex),
			})
		}
	}
	return entries, nil
}

// shelf is a directory of entries, of one kind and form.
type shelf struct {
	kind      Kind
	algorithm digest.Algorithm
	dir       string
	names     []fs.DirEntry
}

func (s *Store) shelves() ([]shelf, error) {
	var shelves []shelf
	forms, err := os.ReadDir(s.root)
	if err != nil {
		return nil, fmt.Errorf("list layers: %w", err)
	}
	for _, form := range forms {
		for _, kind := range []Kind{Layer, Chain} {
			if !strings.HasPrefix(form.Name(), string(kind)) {
				continue
			}
			more, err := shelvesIn(kind, s.path(form.Name()))
			if err != nil {
				return nil, err
			}
			shelves = append(shelves, more...)
		}
	}
	return shelves, nil
}

func shelvesIn(kind Kind, dir string) ([]shelf, error) {
	algorithms, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list layers: %w", err)
	}
	var shelves []shelf
	for _, algorithm := range algorithms {
		below := filepath.Join(dir, algorithm.Name())
		names, err := os.ReadDir(below)
		if err != nil {
			return nil, fmt.Errorf("list layers: %w", err)
		}
		shelves = append(shelves, shelf{kind, digest.Algorithm(algorithm.Name()), below, names})
	}
	return shelves, nil
}

// sweepNotes removes the notes and locks of entries that never came to be,
// since what was to make them was killed or refused.
func (s *Store) sweepNotes() error {
	shelves, err := s.shelves()
	if err != nil {
		return err
	}
	for _, shelf := range shelves {
		there := make(map[string]bool)
		for _, name := range shelf.names {
			there[name.Name()] = true
		}
		for name := range there {
			base := strings.TrimSuffix(strings.TrimSuffix(name, lockSuffix), sidecarSuffix)
			if base == name || there[base] || there[base+imageSuffix] {
				continue
			}
			if err := os.Remove(filepath.Join(shelf.dir, name)); err != nil {
				return fmt.Errorf("remove what is left of a layer: %w", err)
			}
		}
	}
	return nil
}

// remove takes the entry out of sight at once, by a rename, and then removes
// it at leisure: a crash leaves it to the next sweep. An image is one unlink.
func (s *Store) remove(ctx context.Context, e Entry) error {
	if e.Image {
		if err := os.Remove(e.Path); err != nil {
			return fmt.Errorf("remove layer: %w", err)
		}
	} else {
		tmp, err := s.temp(ctx)
		if err != nil {
			return err
		}
		if err := os.Rename(e.Path, filepath.Join(tmp.dir, "layer")); err != nil {
			return errors.Join(fmt.Errorf("remove layer: %w", err), tmp.discard())
		}
		if err := tmp.discard(); err != nil {
			return err
		}
	}
	for _, suffix := range []string{sidecarSuffix, lockSuffix} {
		if err := os.Remove(e.base + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove layer: %w", err)
		}
	}
	return nil
}
