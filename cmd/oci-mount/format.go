package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/oci-plumbing/oci-plumbing/lib/erofs"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/overlay"
)

// wantImages decides whether new layers become erofs images: the kernel is
// asked to mount one without a file in it.
func (f *filler) wantImages(ctx context.Context) (bool, error) {
	if f.Format == formatDir || f.Format == formatAuto && f.userXattr {
		return false, nil
	}
	err := f.store.Scratch(ctx, tryImage)
	switch {
	case err == nil:
		return true, nil
	case !errors.Is(err, overlay.ErrNoErofs):
		return false, err
	case f.Format == formatAuto:
		f.log.Detail("layers are cached as directories: %v", err)
		return false, nil
	}
	return false, fault.Hint(err, "use --layer-format dir")
}

func tryImage(dir string) (err error) {
	image, err := os.OpenFile(filepath.Join(dir, "probe"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("try an erofs image: %w", err)
	}
	defer func() { err = errors.Join(err, image.Close()) }()
	if err := erofs.Write(image, 0, &erofs.Inode{Mode: 0o040755}); err != nil {
		return fmt.Errorf("try an erofs image: %w", err)
	}
	l, err := overlay.OpenErofs(image.Name())
	if err != nil {
		return err
	}
	return l.Mount.Close()
}
