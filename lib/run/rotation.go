package run

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
)

// rotation is a log with the files that a logWriter has renamed: FILE.1 is
// older than FILE, FILE.2 than that. Meanwhile it may rename them.
type rotation struct {
	path string
	// files is how many there are at most.
	files int
}

func (r rotation) name(n int) string {
	if n == 0 {
		return r.path
	}
	return r.path + "." + strconv.Itoa(n)
}

// oldest opens the oldest file.
func (r rotation) oldest() (*os.File, error) {
	for {
		f, err := os.Open(r.name(max(0, r.newer(r.files))))
		if !errors.Is(err, fs.ErrNotExist) || r.newer(r.files) < 0 {
			return f, err
		}
	}
}

// next opens the file that was begun after f; it returns nil when there is none
// yet. Should f be gone, that is the oldest. To have got a next one means that f
// is complete.
func (r rotation) next(f *os.File) (*os.File, error) {
	for {
		at := r.find(f)
		n := r.newer(at)
		if n < 0 {
			return nil, nil
		}
		next, err := os.Open(r.name(n))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		// Names move from the oldest on: these two have not moved.
		if r.find(f) == at && r.newer(at) == n {
			return next, nil
		}
		_ = next.Close()
	}
}

// find is the number of f; that behind the last when it is gone.
func (r rotation) find(f *os.File) int {
	for n := range r.files {
		if info, err := os.Stat(r.name(n)); err == nil && isFile(f, info) {
			return n
		}
	}
	return r.files
}

// newer is the number of the file that is next to n and newer; -1 without one.
func (r rotation) newer(n int) int {
	for n--; n >= 0; n-- {
		if _, err := os.Stat(r.name(n)); err == nil {
			break
		}
	}
	return n
}

func isFile(f *os.File, info fs.FileInfo) bool {
	own, err := f.Stat()
	return err == nil && os.SameFile(own, info)
}
