package changeset

import (
	"errors"
	"io"
	"os"

	"github.com/oci-plumbing/oci-plumbing/lib/sparse"
)

// copySparse copies at most want.Size bytes. It passes over the holes of a
// sparse file without reading them from the disk, and writes their zeroes.
func copySparse(out io.Writer, f *os.File, want *Stat, buf []byte) (int64, error) {
	if want.Blocks*512 >= want.Size {
		return copyRange(out, f, want.Size, buf)
	}
	var done int64
	for done < want.Size {
		data, end := sparse.NextData(int(f.Fd()), done, want.Size)
		n, err := sparse.WriteZeros(out, data-done, nil)
		done += n
		if err != nil || data == end {
			return done, err
		}
		if _, err := f.Seek(data, io.SeekStart); err != nil {
			return done, err
		}
		n, err = copyRange(out, f, end-data, buf)
		done += n
		if err != nil || n < end-data {
			return done, err
		}
	}
	return done, nil
}

// copyRange copies n bytes, or fewer at the end of the file.
func copyRange(out io.Writer, f *os.File, n int64, buf []byte) (int64, error) {
	var done int64
	for done < n {
		k, err := f.Read(buf[:min(int64(len(buf)), n-done)])
		if k > 0 {
			if _, werr := out.Write(buf[:k]); werr != nil {
				return done, werr
			}
			done += int64(k)
		}
		if errors.Is(err, io.EOF) {
			return done, nil
		}
		if err != nil {
			return done, err
		}
	}
	return done, nil
}
