// Package inflate decodes gzip streams (RFC 1952, RFC 1951) fast, in constant
// memory, without package unsafe.
//
// It is stricter than most decoders about what surrounds the data, because a
// layer that two tools read differently is an attack: every member must carry
// the right CRC-32 and length, reserved header flags are refused, and nothing
// but NUL padding may follow the last member. It is as lenient as zlib about
// the compressed data itself.
//
// What is wrong with the bytes is an error of kind fault.ErrRefused that names
// the offset in the compressed stream. What is wrong with the source is passed
// on as it came.
package inflate

import (
	"errors"
	"hash/crc32"
	"io"
)

const (
	// windowSize is how far back a match may reach (RFC 1951, section 2).
	windowSize = 32 << 10
	// outputSize holds the window and one block of plain bytes. Together
	// with the input buffer and the tables it should fit a level 2 cache.
	outputSize = 256 << 10
	outputMask = outputSize - 1
	// outputRoom is what one round of the fast loop may write past the
	// position it checked: three literals, a match of 258 bytes, and the
	// overshoot of its last words.
	outputRoom = 320
	// outputLimit is where a block ends. There is always room behind it for
	// a whole match, so that no match is ever cut in two.
	outputLimit = outputSize - outputRoom
)

// Reader decodes a gzip stream of one or more members. It holds about 400 KiB
// and allocates nothing after NewReader, whatever the input. It is not safe
// for concurrent use.
//
// The source is read to its end, and read ahead of the data that was returned:
// io.EOF is reported only when the source has reported it.
type Reader struct {
	source
	state state
	// final says that the current block is the last one of its member.
	final bool
	// storedLeft counts the bytes of a stored block still to be copied.
	storedLeft uint
	// fixed says that the tables hold the fixed codes, which need no
	// rebuilding for the next fixed block.
	fixed bool

	// pos is where the next plain byte goes in output.
	pos uint
	// memberStart is where the current member's output starts in output, 0
	// when it starts at or before it. No match may reach behind it.
	memberStart uint
	// hashed is the position in output up to which checksum counts.
	hashed uint
	// checksum and size are the CRC-32 and the length modulo 2^32 of the
	// current member up to hashed.
	checksum uint32
	size     uint32

	// pending is what Read has not handed out yet of the current block.
	pending []byte
	// err ends the stream: it is returned once all bytes before it are.
	err error

	lengths  [fixedLitlenSymbols + fixedDistSymbols]uint8
	precode  [1 << precodeBits]uint32
	litlen   [litlenTableSize]uint32
	distance [distTableSize]uint32
	output   [outputSize + wordSize]byte
}

// state says what the next byte or bit of the input belongs to.
type state uint8

const (
	stateFirstMember state = iota
	stateNextMember
	stateBlock
	stateStored
	stateSymbols
	stateTrailer
)

// NewReader returns a Reader of the gzip stream r. It reads the first member's
// header, and fails when there is none: an empty stream is refused.
func NewReader(r io.Reader) (*Reader, error) {
	z := new(Reader)
	if err := z.Reset(r); err != nil {
		return nil, err
	}
	return z, nil
}

// Reset makes z read the gzip stream r as NewReader would, with the memory it
// has. After a failure z is good for nothing but another Reset.
func (z *Reader) Reset(r io.Reader) error {
	z.source.reset(r)
	z.state = stateFirstMember
	z.final = false
	z.storedLeft = 0
	z.pos, z.memberStart, z.hashed = 0, 0, 0
	z.pending = nil
	z.err = z.startMember()
	return z.err
}

// Next returns the next plain bytes, at least one and at most about 256 KiB of
// them. They lie in z and are valid until the next call of any method; the
// caller must not change them. At the clean end of the stream the error is
// io.EOF. An error is returned only after all bytes that came before it.
func (z *Reader) Next() ([]byte, error) {
	if len(z.pending) > 0 {
		block := z.pending
		z.pending = nil
		return block, nil
	}
	if z.err != nil {
		return nil, z.err
	}
	z.slide()
	start := z.pos
	z.err = z.decode()
	if z.pos == start {
		return nil, z.err
	}
	z.hash()
	return z.output[start:z.pos], nil
}

// Read implements io.Reader.
func (z *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(z.pending) == 0 {
		block, err := z.Next()
		if err != nil {
			return 0, err
		}
		z.pending = block
	}
	n := copy(p, z.pending)
	z.pending = z.pending[n:]
	return n, nil
}

// WriteTo implements io.WriterTo: it writes all remaining plain bytes to w,
// and returns nil at the clean end of the stream.
func (z *Reader) WriteTo(w io.Writer) (int64, error) {
	var written int64
	for {
		block, err := z.Next()
		if errors.Is(err, io.EOF) {
			return written, nil
		}
		if err != nil {
			return written, err
		}
		n, err := w.Write(block)
		written += int64(n)
		if err != nil {
			return written, err
		}
		if n != len(block) {
			return written, io.ErrShortWrite
		}
	}
}

// decode fills output up to outputLimit. It is one loop over all members and
// blocks: a stream of a million empty ones takes no stack.
func (z *Reader) decode() error {
	for z.pos < outputLimit {
		var err error
		switch z.state {
		case stateFirstMember, stateNextMember:
			err = z.startMember()
		case stateBlock:
			err = z.startBlock()
		case stateStored:
			err = z.copyStored()
		case stateSymbols:
			err = z.decodeSymbols()
		case stateTrailer:
			err = z.endMember()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// slide moves the window to the front of output, to make room for a block.
func (z *Reader) slide() {
	if z.pos <= windowSize {
		return
	}
	shift := z.pos - windowSize
	copy(z.output[:windowSize], z.output[shift:z.pos])
	z.pos = windowSize
	z.hashed = windowSize
	z.memberStart -= min(z.memberStart, shift)
}

// hash adds the new bytes in output to the member's checksum and size, while
// they are in the cache.
func (z *Reader) hash() {
	fresh := z.output[z.hashed:z.pos]
	z.checksum = crc32.Update(z.checksum, crc32.IEEETable, fresh)
	z.size += uint32(len(fresh))
	z.hashed = z.pos
}
