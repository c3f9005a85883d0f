package inflate

import (
	"bytes"
	"errors"
	"hash/crc32"
	"io"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// The flags of a member's header (RFC 1952, section 2.3.1).
const (
	flagHeaderCRC = 1 << 1
	flagExtra     = 1 << 2
	flagName      = 1 << 3
	flagComment   = 1 << 4
	flagReserved  = 0xe0
)

// maxHeaderText bounds the name and the comment of a header. RFC 1952 sets no
// bound; no tool that makes layers writes either.
const maxHeaderText = 1 << 20

// startMember reads a member's header, or finds the end of the stream where
// the next one would be.
func (z *Reader) startMember() error {
	if z.state == stateNextMember {
		if err := z.endOfStream(); err != nil {
			return err
		}
	}
	if err := z.readHeader(); err != nil {
		return err
	}
	z.state = stateBlock
	z.memberStart, z.hashed = z.pos, z.pos
	z.checksum, z.size = 0, 0
	return nil
}

// endOfStream looks at what follows a member. It returns nil when that looks
// like another member and io.EOF at the clean end, padding included.
func (z *Reader) endOfStream() error {
	rest := z.unread()
	if len(rest) > 0 && rest[0] == gzipMagic1 {
		return nil
	}
	for ; len(rest) > 0; rest = z.unread() {
		padding := len(rest) - len(bytes.TrimLeft(rest, "\x00"))
		z.in += uint(padding)
		if padding < len(rest) {
			return fault.Refused("gzip stream is followed by other bytes, from byte %d", z.offset())
		}
	}
	if !errors.Is(z.end, io.EOF) {
		return z.cutOff()
	}
	return io.EOF
}

const (
	gzipMagic1    = 0x1f
	gzipMagic2    = 0x8b
	methodDeflate = 8
)

// header reads the bytes of a member's header.
type header struct {
	*source
	// crc is the CRC-32 of the bytes so far.
	crc uint32
}

func (z *Reader) readHeader() error {
	h := header{source: &z.source}
	start := z.offset()
	var fixed [10]byte
	for i := range fixed {
		b, err := h.readByte()
		if err != nil {
			return err
		}
		fixed[i] = b
	}
	if fixed[0] != gzipMagic1 || fixed[1] != gzipMagic2 {
		return fault.Refused("no gzip member starts at byte %d", start)
	}
	if fixed[2] != methodDeflate {
		return fault.Refused("gzip member at byte %d has the unknown method %d", start, fixed[2])
	}
	flags := fixed[3]
	if flags&flagReserved != 0 {
		return fault.Refused("gzip member at byte %d has the reserved flags %#x", start, flags&flagReserved)
	}
	if flags&flagExtra != 0 {
		if err := h.skipExtra(); err != nil {
			return err
		}
	}
	if flags&flagName != 0 {
		if err := h.skipText("name"); err != nil {
			return err
		}
	}
	if flags&flagComment != 0 {
		if err := h.skipText("comment"); err != nil {
			return err
		}
	}
	if flags&flagHeaderCRC != 0 {
		return h.check(start)
	}
	return nil
}

func (h *header) readByte() (byte, error) {
	rest := h.unread()
	if len(rest) == 0 {
		return 0, h.cutOff()
	}
	h.in++
	h.crc = crc32.Update(h.crc, crc32.IEEETable, rest[:1])
	return rest[0], nil
}

func (h *header) readUint16() (uint16, error) {
	low, err := h.readByte()
	if err != nil {
		return 0, err
	}
	high, err := h.readByte()
	return uint16(low) | uint16(high)<<8, err
}

func (h *header) skipExtra() error {
	size, err := h.readUint16()
	if err != nil {
		return err
	}
	for range size {
		if _, err := h.readByte(); err != nil {
			return err
		}
	}
	return nil
}

func (h *header) skipText(what string) error {
	for range maxHeaderText {
		b, err := h.readByte()
		if err != nil {
			return err
		}
		if b == 0 {
			return nil
		}
	}
	return fault.Refused("gzip header has a %s of more than %d bytes, up to byte %d", what, maxHeaderText, h.offset())
}

// check compares the header's CRC-16, the low half of its CRC-32.
func (h *header) check(start int64) error {
	want := uint16(h.crc)
	got, err := h.readUint16()
	if err != nil {
		return err
	}
	if got != want {
		return fault.Refused("gzip member at byte %d has the wrong header checksum %#04x, want %#04x", start, got, want)
	}
	return nil
}

// endMember compares the member's output with its trailer.
func (z *Reader) endMember() error {
	z.align()
	start := z.offset()
	if err := z.need(32); err != nil {
		return err
	}
	checksum := uint32(z.take(32))
	if err := z.need(32); err != nil {
		return err
	}
	size := uint32(z.take(32))
	z.align()
	z.hash()
	if checksum != z.checksum {
		return fault.Refused("gzip trailer at byte %d has the checksum %#08x, but the data has %#08x", start, checksum, z.checksum)
	}
	if size != z.size {
		return fault.Refused("gzip trailer at byte %d has the length %d, but the data has %d (modulo 2^32)", start, size, z.size)
	}
	z.state = stateNextMember
	return nil
}
