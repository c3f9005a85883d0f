package layout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/durable"
)

// Claim is a writer's use of a layout. While it lasts, it holds a shared lock
// on the file oci-layout, so that none takes a layout away that it made while
// others write into it.
type Claim struct {
	dir    string
	marker *os.File
	// fresh says that the layout was made for this writer, where nothing was.
	fresh bool
}

// claimTries is how often a layout may vanish while it is claimed.
const claimTries = 100

// claimPatience is how long a claim waits: the locks concerned are held for
// moments.
const claimPatience = time.Second

// CreateClaimed is Create, and claims the layout for as long as the writer
// needs it.
func CreateClaimed(ctx context.Context, dir string, options ...Option) (*Layout, *Claim, error) {
	for try := 0; ; try++ {
		there, err := os.ReadDir(dir)
		fresh := len(there) == 0 && (err == nil || errors.Is(err, fs.ErrNotExist))
		l, err := Create(ctx, dir, options...)
		if errors.Is(err, fs.ErrNotExist) && try < claimTries {
			// Who made the directory has just taken it away.
			continue
		}
		if err != nil {
			if fresh {
				removeVacant(dir, func() {})
			}
			return nil, nil, err
		}
		path := filepath.Join(l.dir, markerFile)
		marker, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) && try < claimTries {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("claim layout: %w", err)
		}
		if err := durable.Flock(context.WithoutCancel(ctx), marker, unix.LOCK_SH, claimPatience); err != nil || sameFile(marker, path) {
			// On a file system without locks, what is made stays.
			return l, &Claim{dir: l.dir, marker: marker, fresh: fresh && err == nil}, nil
		}
		// It was taken away just now.
		if err := marker.Close(); err != nil {
			return nil, nil, fmt.Errorf("claim layout: %w", err)
		}
	}
}

// Release ends the use of the layout.
func (c *Claim) Release() { _ = c.marker.Close() }

// Replace ends an earlier claim of the same writer, and goes on from it.
func (c *Claim) Replace(earlier *Claim) {
	c.fresh = c.fresh || earlier.fresh
	earlier.Release()
}

// Renew takes up a claim that was released.
func (c *Claim) Renew() error {
	marker, err := os.Open(c.marker.Name())
	if err != nil {
		return fmt.Errorf("claim layout: %w", err)
	}
	c.marker = marker
	return nil
}

// Abandon takes away a layout that was made for this writer, unless others use
// it, too, or have put something into it. What the writer has stored it removes
// by drop. A release must follow.
func (c *Claim) Abandon(drop func()) {
	if !c.fresh || unix.Flock(int(c.marker.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return
	}
	// flock(2) gives up the shared lock before it takes the other: meanwhile
	// another writer may have taken the layout away, and a third have made one.
	if sameFile(c.marker, filepath.Join(c.dir, markerFile)) {
		removeVacant(c.dir, drop)
	}
}

// sameFile reports whether the path leads to the open file still.
func sameFile(f *os.File, path string) bool {
	ours, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(ours, there)
}

// removeVacant removes what makes a layout, under its lock, when nothing has a
// name in it, and when no blob is left after drop.
func removeVacant(path string, drop func()) {
	dir, err := os.Open(path)
	if err != nil {
		return
	}
	defer dir.Close()
	// Also when the writer was told to stop.
	if durable.Flock(context.Background(), dir, unix.LOCK_EX, claimPatience) != nil || !namesNothing(filepath.Join(path, indexFile)) {
		return
	}
	drop()
	blobs := filepath.Join(path, blobsDir)
	algorithms, _ := os.ReadDir(blobs)
	for _, a := range algorithms {
		_ = os.Remove(filepath.Join(blobs, a.Name()))
	}
	if err := os.Remove(blobs); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return
	}
	_ = os.Remove(filepath.Join(path, indexFile))
	_ = os.Remove(filepath.Join(path, markerFile))
}

// namesNothing reports whether an index has no entries, or is not there.
func namesNothing(path string) bool {
	data, err := os.ReadFile(path)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	var index struct{ Manifests []json.RawMessage }
	return json.Unmarshal(data, &index) == nil && len(index.Manifests) == 0
}
