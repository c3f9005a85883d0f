package inflate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

const (
	inputSize = 128 << 10
	inputMask = inputSize - 1
	// wordSize is the size of the words that are loaded and stored. Both
	// buffers are so much longer than they claim to be: then a word at a
	// masked index is inside without a check.
	wordSize = 8
	// fastInput is the number of unread input bytes that a round of the
	// fast loop may load without looking.
	fastInput = 32
	// emptyReads is how often a source may return nothing before it counts
	// as broken.
	emptyReads = 100
)

// source is the input: a buffer of bytes, and a buffer of bits in front of it.
//
// The bits are a prefix of the bytes before in, so whole bytes in the bit
// buffer can be given back by moving in.
type source struct {
	r io.Reader
	// end is what ended r: io.EOF or its failure.
	end error

	// bits holds nbits bits of input, the next one lowest; the bits above
	// them are zero. nbits is at most 63.
	bits  uint64
	nbits uint

	// input[in:inEnd] is the input behind the bits. base is the offset of
	// input[0] in the stream.
	in, inEnd uint
	base      int64
	input     [inputSize + wordSize]byte
}

func (s *source) reset(r io.Reader) {
	s.r, s.end = r, nil
	s.bits, s.nbits = 0, 0
	s.in, s.inEnd, s.base = 0, 0, 0
}

// offset is the position of the first byte, in the compressed stream, of
// which no bit has been used.
func (s *source) offset() int64 {
	return s.base + int64(s.in) - int64(s.nbits>>3)
}

// giveBack returns the whole bytes of the bit buffer to the byte buffer.
func (s *source) giveBack() {
	s.in -= s.nbits >> 3
	s.nbits &= 7
	s.bits &= 1<<s.nbits - 1
}

// align skips to the next byte boundary and empties the bit buffer.
func (s *source) align() {
	s.giveBack()
	s.bits, s.nbits = 0, 0
}

// fill reads until fastInput and some more bytes are buffered, or r has ended.
func (s *source) fill() {
	s.giveBack()
	s.base += int64(s.in)
	s.inEnd = uint(copy(s.input[:], s.input[s.in:s.inEnd]))
	s.in = 0
	for empty := 0; s.end == nil && s.inEnd < 2*fastInput; {
		room := s.input[s.inEnd:inputSize]
		n, err := s.r.Read(room)
		switch {
		case n < 0 || n > len(room):
			n, err = 0, errors.New("the source returned an impossible count")
		case n > 0:
			empty = 0
		default:
			empty++
		}
		if err == nil && empty == emptyReads {
			err = io.ErrNoProgress
		}
		s.inEnd += uint(n)
		s.end = err
	}
}

// refill loads at least 56 bits, unless the input has fewer.
func (s *source) refill() {
	if s.inEnd-s.in < wordSize && s.end == nil {
		s.fill()
	}
	if s.inEnd-s.in >= wordSize {
		s.bits |= binary.LittleEndian.Uint64(s.input[s.in:s.inEnd]) << s.nbits
		s.in += (63 - s.nbits) / 8
		s.nbits |= 56
		s.bits &= 1<<s.nbits - 1
		return
	}
	for s.nbits < 56 && s.in < s.inEnd {
		s.bits |= uint64(s.input[s.in]) << s.nbits
		s.in++
		s.nbits += 8
	}
}

// need makes sure that the next n bits, at most 56, are in the bit buffer.
func (s *source) need(n uint) error {
	if s.nbits < n {
		s.refill()
	}
	if s.nbits < n {
		return s.cutOff()
	}
	return nil
}

// take removes n bits, which must be in the bit buffer, and returns them.
func (s *source) take(n uint) uint {
	v := uint(s.bits & (1<<n - 1))
	s.bits >>= n
	s.nbits -= n
	return v
}

// unread returns the unread input, at least one byte of it unless r has ended.
// The bit buffer must be empty.
func (s *source) unread() []byte {
	if s.in == s.inEnd {
		s.fill()
	}
	return s.input[s.in:s.inEnd]
}

// cutOff is the error for an input that ends too early: the failure of the
// source when it has failed, else the fault of whoever made the stream.
func (s *source) cutOff() error {
	end := s.base + int64(s.inEnd)
	if !errors.Is(s.end, io.EOF) {
		return fmt.Errorf("read gzip stream at byte %d: %w", end, s.end)
	}
	return fault.Refused("gzip stream is cut off at byte %d: %w", end, io.ErrUnexpectedEOF)
}

// corrupt is the error for compressed data that means nothing.
func (s *source) corrupt(what string) error {
	return fault.Refused("gzip stream is corrupt before byte %d: %s", s.offset(), what)
}
