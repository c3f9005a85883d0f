package layout

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// LinkBlob makes a second name, in this layout, for the file of a blob that
// lies elsewhere on the same file system: nothing is copied, and a change of
// the one is a change of the other. The caller has hashed what is in the open
// file. Across file systems the error is EXDEV, and where hard links are not
// allowed EPERM: the caller then copies.
func (l *Layout) LinkBlob(ctx context.Context, desc ispec.Descriptor, file *os.File) error {
	if err := checkDescriptor(desc); err != nil {
		return err
	}
	path, err := l.BlobPath(desc.Digest)
	if err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return fmt.Errorf("link blob: %w", err)
	}
	// By descriptor: what was hashed is what gets the name.
	self := "/proc/self/fd/" + strconv.Itoa(int(file.Fd()))
	err = unix.Linkat(unix.AT_FDCWD, self, unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
	if errors.Is(err, unix.EEXIST) {
		// linkat cannot replace a damaged blob.
		if err = os.Remove(path); err == nil {
			err = unix.Linkat(unix.AT_FDCWD, self, unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
		}
	}
	if err == nil {
		err = file.Sync()
	}
	if err != nil {
		return fmt.Errorf("link blob %s into %s: %w", desc.Digest, l.dir, err)
	}
	return nil
}
