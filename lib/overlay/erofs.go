package overlay

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// ErrNoErofs says that the kernel cannot mount an erofs image from this file:
// it has no erofs, or needs a block device (Linux before 6.12, or a store on
// overlay or tmpfs), or the caller may not.
var ErrNoErofs = errors.New("the kernel does not mount an erofs image from this file")

// OpenErofs mounts the image file, read-only and detached. Close the mount of
// the lower once the stack is mounted; not before, or the kernel takes the
// layer for gone.
func OpenErofs(image string) (Lower, error) {
	fs, err := openContext("erofs")
	if err != nil {
		return Lower{}, errors.Join(ErrNoErofs, err)
	}
	defer fs.close()
	source := image
	if len(source) >= maxString {
		fd, err := unix.Open(image, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return Lower{}, fmt.Errorf("open image %s: %w", image, err)
		}
		defer unix.Close(fd)
		source = heldPath(fd)
	}
	for _, o := range []option{{key: "source", value: source}, {key: "ro", flag: true}} {
		if err := fs.set(o); err != nil {
			return Lower{}, err
		}
	}
	mnt, err := fs.mount(unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NODEV)
	switch {
	case errors.Is(err, unix.ENOTBLK), errors.Is(err, unix.EPERM), errors.Is(err, unix.ENODEV):
		return Lower{}, fmt.Errorf("%s: %w: %w", image, ErrNoErofs, err)
	case err != nil:
		return Lower{}, fmt.Errorf("image %s: %w", image, err)
	}
	return Lower{Path: image, Mount: mnt}, nil
}
