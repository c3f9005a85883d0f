package layer

import (
	"bytes"

	"golang.org/x/sys/unix"
)

// holeSize is the least run of zeros that becomes a hole, and the alignment
// of its beginning. Smaller ones would cost more extents than they save.
const holeSize = 64 << 10

// zeros is what a hole reads as.
var zeros [holeSize]byte

// body writes the content of a new file, in the order of its bytes. What
// archives cannot say, since layers are written without sparse maps, is found
// again: a block of zeros is left out and so becomes a hole. A lastlog of
// gigabytes takes no more disk than where it came from.
type body struct {
	fd int
	// hole tells that the file as it is ends before the last byte that
	// was given: the caller sets its size.
	hole bool
}

func (b *body) writeAt(p []byte, at int64) error {
	done := 0 // how much of p is written, or left out
	for end := 0; end < len(p); {
		n := min(len(p)-end, int(holeSize-(at+int64(end))%holeSize))
		zero := (n == holeSize || b.hole) && bytes.Equal(p[end:end+n], zeros[:n])
		if zero {
			if err := pwrite(b.fd, p[done:end], at+int64(done)); err != nil {
				return err
			}
			done = end + n
		}
		b.hole = zero
		end += n
	}
	return pwrite(b.fd, p[done:], at+int64(done))
}

// pwrite writes all of p.
func pwrite(fd int, p []byte, at int64) error {
	for len(p) > 0 {
		n, err := retry(func() (int, error) { return unix.Pwrite(fd, p, at) })
		if err != nil {
			return err
		}
		p, at = p[n:], at+int64(n)
	}
	return nil
}
