// Package sparse finds the holes of files, which need not be read: the kernel
// would fill its page cache with their zeros. It writes these in their place.
package sparse

import (
	"errors"
	"io"

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

var zeros [64 << 10]byte

// WriteZeros writes the n zeros that a hole reads as, and returns how many it
// has written. It ends with the error that ended returns, which may be nil.
func WriteZeros(w io.Writer, n int64, ended func() error) (int64, error) {
	var done int64
	for done < n {
		if ended != nil {
			if err := ended(); err != nil {
				return done, err
			}
		}
		k, err := w.Write(zeros[:min(n-done, int64(len(zeros)))])
		done += int64(k)
		if err != nil {
			return done, err
		}
	}
	return done, nil
}
