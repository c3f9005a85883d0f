package transport

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/oci-plumbing/oci-plumbing/lib/durable"
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
	switch r := t.ref.(type) {
	case *layoutRef:
		if r.claim != nil {
			r.claim.Abandon(r.dropStored)
		}
	case *dirRef:
		r.abandon()
	}
	unmake(t.made)
}

// release ends the use of the destination.
func (t *target) release() {
	if r, ok := t.ref.(*layoutRef); ok && r.claim != nil {
		r.claim.Release()
	}
}

// takeBack is abandon for a copy that had succeeded, and whose name has been
// taken back since.
func (t *target) takeBack() {
	r, ok := t.ref.(*layoutRef)
	if !ok || r.claim == nil {
		return
	}
	if r.claim.Renew() != nil {
		return
	}
	t.abandon()
	t.release()
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
