package overlay

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// procfs is a directory that an overlay takes as a layer, and that shares its
// file system with no upper.
const procfs = "/proc"

// InUse asks the kernel whether the directory is the upper of a mount, in
// whatever namespace, detached ones included. A list of mounts cannot tell:
// it shows one namespace.
//
// The question is a mount that cannot succeed, as its work directory is in
// another file system. The kernel looks at that only after it has looked at
// the upper; and with "index" it refuses an upper that is in use, where
// without it merely logs that what follows is undefined.
func InUse(upper string) (bool, error) {
	if wantsClassic() {
		return inUseClassic(upper)
	}
	fs, err := openContext("overlay")
	if err != nil {
		return false, err
	}
	defer fs.close()
	for _, o := range []option{
		lowerOption(Lower{Path: procfs}),
		upperOption(upper),
		workOption(procfs),
		{key: "index", value: "on"},
	} {
		if err := fs.set(o); err != nil {
			return false, err
		}
	}
	mnt, err := fs.mount(unix.MOUNT_ATTR_RDONLY)
	switch {
	case errors.Is(err, unix.EBUSY):
		return true, nil
	case err != nil:
		return false, nil // for the reason that was arranged
	}
	return false, errors.Join(fmt.Errorf("upper %s is in the same file system as /proc", upper), mnt.Close())
}
