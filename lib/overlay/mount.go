package overlay

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Mount stacks s on the directory target.
func Mount(s Stack, target string) error {
	mnt, err := s.Create()
	if err != nil {
		return err
	}
	defer mnt.Close()
	return Attach(mnt, target)
}

// Create builds the stack as a detached mount, which no path leads to yet.
// Closing the file before Attach undoes it.
func (s *Stack) Create() (*os.File, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("mount overlay: %w", err)
	}
	if wantsClassic() {
		return s.createClassic()
	}
	fs, err := openContext("overlay")
	if err != nil {
		return nil, err
	}
	defer fs.close()
	if err := fs.set(option{key: "source", value: Source}); err != nil {
		return nil, err
	}
	for _, l := range s.Lowers {
		if err := fs.set(lowerOption(l)); err != nil {
			return nil, err
		}
	}
	for _, o := range s.options() {
		if err := fs.set(o); err != nil {
			return nil, err
		}
	}
	attributes := unix.MOUNT_ATTR_NODEV
	if s.Upper == "" {
		attributes |= unix.MOUNT_ATTR_RDONLY
	}
	return fs.mount(attributes)
}

// Attach puts a detached mount on the directory target. A symlink there is
// not followed.
func Attach(mnt *os.File, target string) error {
	dir, err := unix.Open(target, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open mount point %s: %w", target, err)
	}
	defer unix.Close(dir)
	err = unix.MoveMount(int(mnt.Fd()), "", dir, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
	if err != nil {
		return fmt.Errorf("mount on %s: %w", target, err)
	}
	return nil
}

// Unmount takes the mount off target. A busy mount is an error with EBUSY,
// unless detach is set: then it vanishes from the path at once, and the
// kernel ends it when its last user has gone.
func Unmount(target string, detach bool) error {
	flags := unix.UMOUNT_NOFOLLOW
	if detach {
		flags |= unix.MNT_DETACH
	}
	if err := unix.Unmount(target, flags); err != nil {
		return fmt.Errorf("unmount %s: %w", target, err)
	}
	return nil
}
