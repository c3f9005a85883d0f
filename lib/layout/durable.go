package layout

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/durable"
)

// replaceFile puts data at path, which appears whole, and belongs to the owner
// of the layout.
func replaceFile(path string, data []byte) error {
	return durable.Replace(path, func(f *os.File) error {
		if _, err := f.Write(data); err != nil {
			return err
		}
		return adopt(f)
	})
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// adopt gives the file to the owner of the directory it is in: what root
// writes into a user's layout stays usable for that user.
func adopt(f *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Dir(f.Name()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: filepath.Dir(f.Name()), Err: err}
	}
	if st.Uid == 0 && st.Gid == 0 {
		return nil
	}
	return f.Chown(int(st.Uid), int(st.Gid))
}
