package makeimage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Ensure makes the layout dir with fill, unless it is there. It appears whole,
// so that a run that was broken off leaves none that is half an image.
func Ensure(dir string, fill func(*Writer) error) error {
	switch _, err := os.Stat(filepath.Join(dir, "index.json")); {
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	temp := dir + ".tmp"
	if err := os.RemoveAll(temp); err != nil {
		return err
	}
	w, err := New(temp)
	if err != nil {
		return err
	}
	if err := errors.Join(fill(w), w.Close()); err != nil {
		return err
	}
	return os.Rename(temp, dir)
}
