package transport

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.podman.io/image/v5/directory"
	"go.podman.io/image/v5/types"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/durable"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// dirRef is an image in a directory (the transport dir) that is to be written.
// The library writes into the directory that it is given as the image arrives,
// and first removes all that is in there. So it gets a directory of its own,
// and the image goes to its place from there when it is whole.
type dirRef struct {
	// ImageReference is the library's, of the directory of its own.
	types.ImageReference
	name string
	// final is the place, absolute and without symbolic links.
	final string
	// made are directories above it that were made, the deepest first.
	made  []string
	stage *durable.TempDir
	swap  *dirSwap
}

// vanishTries is how often a directory may be taken away by others, whose copy
// has failed, just when it is to be used.
const vanishTries = 100

// dirPatience is how long a copy waits for others that put an image into the
// same directory. They hold its lock for a few renames.
const dirPatience = 30 * time.Second

func newDirRef(name string) (*dirRef, error) {
	if name == "" {
		return nil, fault.Usage("no directory is named")
	}
	return &dirRef{name: name}, nil
}

// NewImageDestination makes the directory for the library to write into. What
// an earlier try has left is dropped.
func (r *dirRef) NewImageDestination(ctx context.Context, sys *types.SystemContext) (types.ImageDestination, error) {
	if err := r.stage.Drop(); err != nil {
		return nil, fmt.Errorf("directory %s: %w", r.name, err)
	}
	err := r.makeStage(ctx, sys)
	if err != nil {
		return nil, fmt.Errorf("directory %s: %w", r.name, err)
	}
	if r.ImageReference, err = directory.NewReference(r.stage.Path); err != nil {
		return nil, fmt.Errorf("directory %s: %w", r.name, err)
	}
	return r.ImageReference.NewImageDestination(ctx, sys)
}

func (r *dirRef) makeStage(ctx context.Context, sys *types.SystemContext) error {
	for try := 0; ; try++ {
		room, err := r.room(ctx, sys)
		if err == nil {
			r.stage, err = durable.MakeTempDir(room, 0o777)
		}
		if !errors.Is(err, fs.ErrNotExist) || try == vanishTries {
			return err
		}
	}
}

// room is where the image is made. That is the place itself when it is a
// directory already: it may be mounted, its parent closed to us, and a process
// may be in it. Otherwise it is the parent.
func (r *dirRef) room(ctx context.Context, sys *types.SystemContext) (string, error) {
	abs, err := filepath.Abs(r.name)
	if err != nil {
		return "", err
	}
	r.final, err = filepath.EvalSymlinks(abs)
	if err == nil {
		durable.SweepDirs(filepath.Dir(r.final))
		return r.final, checkDir(ctx, sys, r.final)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if _, err := os.Lstat(abs); err == nil {
		return "", errors.New("it is a symbolic link to nothing")
	}
	made, err := madeDirs(filepath.Dir(abs))
	if len(made) > 0 {
		r.made = made
	}
	if err != nil {
		return "", err
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(abs))
	r.final = filepath.Join(parent, filepath.Base(abs))
	return parent, err
}

// place puts the image to its place, durably.
func (r *dirRef) place(ctx context.Context, sys *types.SystemContext) error {
	names, err := syncFiles(r.stage.Path)
	if err == nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		err = r.publish(ctx, sys, names)
	}
	if err != nil {
		return fmt.Errorf("directory %s: %w", r.name, err)
	}
	return nil
}

func (r *dirRef) publish(ctx context.Context, sys *types.SystemContext, names []string) error {
	mark, err := os.Lstat(filepath.Join(r.stage.Path, dirManifest))
	if err != nil {
		return err
	}
	for try := 0; ; try++ {
		r.swap = &dirSwap{dir: r.final, mark: mark, names: names}
		fresh := filepath.Dir(r.stage.Path) != r.final
		if fresh {
			err = r.stage.Publish(r.final)
		}
		switch {
		case fresh && err == nil:
			r.swap.added, r.swap.fresh = names, true
			if err := durable.SyncDir(filepath.Dir(r.final)); err != nil {
				return errors.Join(err, r.swap.undo(ctx))
			}
			return nil
		case fresh && !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.ENOTEMPTY):
			return err
		}
		// It was there before, or another copy was faster.
		err = r.swap.into(ctx, sys, r.stage.Path)
		if !errors.Is(err, fs.ErrNotExist) || try == vanishTries {
			return errors.Join(err, r.stage.Drop())
		}
	}
}

// abandon takes away what was made for an image that did not get to its place.
func (r *dirRef) abandon() {
	_ = r.stage.Drop()
	unmake(r.made)
}

// undo gives the place back what it had.
func (r *dirRef) undo(ctx context.Context) error {
	if err := r.swap.undo(ctx); err != nil {
		return fmt.Errorf("directory %s: %w", r.name, err)
	}
	unmake(r.made)
	return nil
}

// settle drops what undo would need.
func (r *dirRef) settle() error { return r.swap.old.Drop() }

// syncFiles makes the files of a directory durable, and returns their names.
func syncFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		f, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return nil, err
		}
	}
	return names, durable.SyncDir(dir)
}
