package overlay

import (
	"fmt"
	"strconv"
)

// MountTmpfs puts a tmpfs of at most size bytes on target, for an upper that
// shall not grow beyond it and need not survive.
func MountTmpfs(target string, size int64) error {
	fs, err := openContext("tmpfs")
	if err != nil {
		return err
	}
	defer fs.close()
	for _, o := range []option{
		{key: "source", value: Source},
		{key: "size", value: strconv.FormatInt(size, 10)},
		{key: "mode", value: "0700"},
	} {
		if err := fs.set(o); err != nil {
			return err
		}
	}
	mnt, err := fs.mount(0)
	if err != nil {
		return fmt.Errorf("tmpfs of %d bytes: %w", size, err)
	}
	defer mnt.Close()
	return Attach(mnt, target)
}
