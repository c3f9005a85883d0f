package transport

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/durable"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
)

// madeDirs makes a directory with its parents, durably, and returns those that
// were missing, the deepest first: a copy that fails takes them away again.
func madeDirs(dir string) ([]string, error) {
	var missing []string
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		if _, err := os.Lstat(at); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		missing = append(missing, at)
	}
	err := os.MkdirAll(dir, 0o777)
	for _, made := range missing {
		if err == nil {
			err = durable.SyncDir(filepath.Dir(made))
		}
	}
	return missing, err
}

// unmake removes the directories that are empty.
func unmake(dirs []string) {
	for _, dir := range dirs {
		if os.Remove(dir) != nil {
			return
		}
	}
}

// abandon takes away what a copy that failed has made for its destination.
func (t *target) abandon() {
	if r, ok := t.ref.(*layoutRef); ok && r.claim != nil {
		r.abandon()
	}
	if t.vacant {
		entries, _ := os.ReadDir(t.name)
		for _, e := range entries {
			_ = os.Remove(filepath.Join(t.name, e.Name()))
		}
	}
	unmake(t.made)
}

// release ends the use of the destination.
func (t *target) release() {
	if r, ok := t.ref.(*layoutRef); ok && r.claim != nil {
		r.claim.release()
	}
}

// takeBack is abandon for a copy that had succeeded, and whose name has been
// taken back since.
func (t *target) takeBack() {
	r, ok := t.ref.(*layoutRef)
	if !ok || r.claim == nil {
		return
	}
	marker, err := os.Open(r.claim.marker.Name())
	if err != nil {
		return
	}
	r.claim.marker = marker
	t.abandon()
	t.release()
}

// claim is a destination that uses a layout. While it lasts, it holds a shared
// lock on the file oci-layout, so that none takes a layout away that it made
// while others write into it.
type claim struct {
	marker *os.File
	// fresh says that the layout was made for this copy, where nothing was.
	fresh bool
}

func (c *claim) release() { _ = c.marker.Close() }

// claimLayout opens the layout for writing, and makes it when it is not there.
func (r *layoutRef) claimLayout(ctx context.Context) (*layout.Layout, *claim, error) {
	path := filepath.Join(r.ref.Dir, ispec.ImageLayoutFile)
	for {
		there, err := os.ReadDir(r.ref.Dir)
		fresh := len(there) == 0 && (err == nil || errors.Is(err, fs.ErrNotExist))
		l, err := layout.Create(ctx, r.ref.Dir, r.layoutOptions()...)
		if err != nil {
			if fresh {
				removeVacant(r.ref.Dir, func() {})
			}
			return nil, nil, err
		}
		marker, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		if err := flock(marker, unix.LOCK_SH); err != nil || sameFile(marker, path) {
			// On a file system without locks, what is made stays.
			return l, &claim{marker: marker, fresh: fresh && err == nil}, nil
		}
		// It was taken away just now.
		if err := marker.Close(); err != nil {
			return nil, nil, err
		}
	}
}

func sameFile(f *os.File, path string) bool {
	ours, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(path)
	return err == nil && os.SameFile(ours, there)
}

// flock waits at most a second: the locks concerned are held for moments.
func flock(f *os.File, how int) error {
	for patience := 100; ; patience-- {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if patience == 0 || !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// abandon takes away a layout that was made for this copy, unless others use
// it, too, or have put something into it.
func (r *layoutRef) abandon() {
	if !r.claim.fresh || unix.Flock(int(r.claim.marker.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return
	}
	removeVacant(r.ref.Dir, r.dropStored)
}

// removeVacant removes what makes a layout, under its lock, when nothing has a
// name in it, and when no blob is left after drop.
func removeVacant(path string, drop func()) {
	dir, err := os.Open(path)
	if err != nil {
		return
	}
	defer dir.Close()
	if flock(dir, unix.LOCK_EX) != nil || !namesNothing(filepath.Join(path, ispec.ImageIndexFile)) {
		return
	}
	drop()
	blobs := filepath.Join(path, ispec.ImageBlobsDir)
	algorithms, _ := os.ReadDir(blobs)
	for _, a := range algorithms {
		_ = os.Remove(filepath.Join(blobs, a.Name()))
	}
	if err := os.Remove(blobs); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return
	}
	_ = os.Remove(filepath.Join(path, ispec.ImageIndexFile))
	_ = os.Remove(filepath.Join(path, ispec.ImageLayoutFile))
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

// dropStored removes the blobs that this copy has stored; those that it found
// in a directory of blobs for several layouts, or stored there, others may
// have found as well.
func (r *layoutRef) dropStored() {
	if r.shared != "" {
		return
	}
	r.stored.Range(func(key, _ any) bool {
		if path, ok := key.(string); ok {
			_ = os.Remove(path)
		}
		return true
	})
}
