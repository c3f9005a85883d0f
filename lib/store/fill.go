package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// Maker extracts the layer of one key, into the new path dir, of which only
// the parent exists. It makes a directory there, or a regular file for an
// erofs image, and returns the notes to keep beside it, which are encoded as
// JSON. It must have verified the digest.
type Maker func(ctx context.Context, dir string) (notes any, err error)

// BatchMaker does the same for several keys: key i goes to the path
// WorkName(i) in dir, and its notes are the i-th.
type BatchMaker func(ctx context.Context, dir string, keys []Key) (notes []any, err error)

// WorkName is the name that entry i of a batch is made under.
func WorkName(i int) string { return strconv.Itoa(i) }

// Fill returns the entry, and makes it first when it is not there. Whoever
// comes second while it is being made waits, and uses it.
func (s *Store) Fill(ctx context.Context, key Key, extract Maker) (entry Entry, made bool, err error) {
	entries, fresh, err := s.FillAll(ctx, []Key{key}, func(ctx context.Context, dir string, _ []Key) ([]any, error) {
		notes, err := extract(ctx, filepath.Join(dir, WorkName(0)))
		return []any{notes}, err
	})
	if err != nil {
		return Entry{}, false, err
	}
	return entries[0], fresh == 1, nil
}

// FillAll is Fill for several different keys, of which those that are missing
// are made together, durable with one sync. When one of them fails, none is
// kept. It also returns how many it has made.
func (s *Store) FillAll(ctx context.Context, keys []Key, extract BatchMaker) (entries []Entry, made int, err error) {
	entries = make([]Entry, len(keys))
	missing, err := s.lookupAll(keys, entries, all(keys))
	if err != nil || len(missing) == 0 {
		return entries, 0, err
	}
	if err := s.prepare(); err != nil {
		return nil, 0, err
	}
	release, err := s.lockAll(ctx, keys, missing)
	if err != nil {
		return nil, 0, err
	}
	defer release()
	if missing, err = s.lookupAll(keys, entries, missing); err != nil || len(missing) == 0 {
		return entries, 0, err
	}
	wanted := make([]Key, len(missing))
	for i, k := range missing {
		wanted[i] = keys[k]
	}
	if err := s.publish(ctx, wanted, extract); err != nil {
		return nil, 0, err
	}
	made = len(missing)
	if missing, err = s.lookupAll(keys, entries, missing); err == nil && len(missing) > 0 {
		err = fmt.Errorf("layer %s vanished", keys[missing[0]].Digest)
	}
	return entries, made, err
}

func all(keys []Key) []int {
	indices := make([]int, len(keys))
	for i := range indices {
		indices[i] = i
	}
	return indices
}

// lookupAll looks for those of the keys, and returns which are missing.
func (s *Store) lookupAll(keys []Key, entries []Entry, which []int) (missing []int, err error) {
	for _, i := range which {
		entry, ok, err := s.Lookup(keys[i])
		if err != nil {
			return nil, err
		}
		if !ok {
			missing = append(missing, i)
			continue
		}
		entries[i] = entry
	}
	return missing, nil
}

// lockAll locks the entries to be made. The order of the paths is the same
// for everybody, so that two who wait never wait for each other.
func (s *Store) lockAll(ctx context.Context, keys []Key, which []int) (release func(), err error) {
	bases := make([]string, len(which))
	for i, k := range which {
		if bases[i], err = s.base(keys[k]); err != nil {
			return nil, err
		}
	}
	slices.Sort(bases)
	var locks []*os.File
	release = func() {
		for _, lock := range locks {
			lock.Close()
		}
	}
	for _, base := range bases {
		lock, err := lockEntry(ctx, base)
		if err != nil {
			release()
			return nil, err
		}
		locks = append(locks, lock)
	}
	return release, nil
}

func lockEntry(ctx context.Context, base string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(base), 0o700); err != nil {
		return nil, fmt.Errorf("make layer directory: %w", err)
	}
	lock, err := openLock(base + lockSuffix)
	if err != nil {
		return nil, err
	}
	if err := flock(ctx, lock, unix.LOCK_EX); err != nil {
		lock.Close()
		return nil, err
	}
	return lock, nil
}

// publish extracts below tmp, and renames when everything is on the disk.
func (s *Store) publish(ctx context.Context, keys []Key, extract BatchMaker) (err error) {
	tmp, err := s.temp(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tmp.discard()) }()
	notes, err := extract(ctx, tmp.dir, keys)
	if err != nil {
		return about(keys, err)
	}
	if len(notes) != len(keys) {
		return fmt.Errorf("notes on %d layers, not on %d", len(notes), len(keys))
	}
	works := make([]work, len(keys))
	for i, key := range keys {
		works[i].path = filepath.Join(tmp.dir, WorkName(i))
		if works[i].base, err = s.base(key); err != nil {
			return err
		}
		if err := works[i].note(notes[i]); err != nil {
			return about(keys[i:i+1], err)
		}
	}
	if err := tmp.syncWorks(works); err != nil {
		return about(keys, err)
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	parents := make(map[string]bool)
	for i, w := range works {
		if err := w.show(); err != nil {
			return about(keys[i:i+1], err)
		}
		parents[filepath.Dir(w.base)] = true
	}
	for parent := range parents {
		err = errors.Join(err, syncFile(parent))
	}
	return err
}

// about names the layer that an error is about, where there is just one.
func about(keys []Key, err error) error {
	if len(keys) != 1 {
		return err
	}
	return fmt.Errorf("layer %s: %w", keys[0].Digest, err)
}

// work is an entry that was made, and has no name yet.
type work struct {
	path, base string
	image      bool
}

func (w *work) notesPath() string { return w.path + sidecarSuffix }

// note writes the notes, and looks what was made.
func (w *work) note(notes any) error {
	data, err := json.Marshal(notes)
	if err != nil {
		return fmt.Errorf("encode notes: %w", err)
	}
	if err := os.WriteFile(w.notesPath(), append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("write notes: %w", err)
	}
	info, err := os.Lstat(w.path)
	if err != nil {
		return fmt.Errorf("stat the new layer: %w", err)
	}
	w.image = info.Mode().IsRegular()
	return nil
}

// show renames: notes first, the layer last.
func (w *work) show() error {
	target := w.base
	if w.image {
		target += imageSuffix
	}
	if err := os.Rename(w.notesPath(), w.base+sidecarSuffix); err != nil {
		return fmt.Errorf("publish notes: %w", err)
	}
	if err := unix.Renameat2(unix.AT_FDCWD, w.path, unix.AT_FDCWD, target, unix.RENAME_NOREPLACE); err != nil {
		return fmt.Errorf("publish as %s: %w", target, err)
	}
	return nil
}

// syncWorks writes what was made to the disk. A single image file is synced by
// itself; for more, one call for the whole file system is far cheaper.
func (t *temp) syncWorks(works []work) error {
	if len(works) == 1 && works[0].image {
		return errors.Join(syncFile(works[0].path), syncFile(works[0].notesPath()))
	}
	return t.sync()
}
