// Package sparse finds the holes of files, which need not be read: the kernel
// would fill its page cache with their zeros.
package sparse

import (
	"errors"

	"golang.org/x/sys/unix"
)

// NextData returns the next range of data at or behind from in a file of size
// bytes; an empty range at size when only a hole is left. A file system that
// knows no holes, and any error, make all that is left data. It moves the
// offset of the descriptor.
func NextData(fd int, from, size int64) (data, end int64) {
	data, err := unix.Seek(fd, from, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return size, size
	}
	if err != nil {
		return from, size
	}
	end, err = unix.Seek(fd, data, unix.SEEK_HOLE)
	if err != nil {
		end = size
	}
	return min(data, size), min(end, size)
}
