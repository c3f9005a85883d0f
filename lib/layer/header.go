package layer

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// header is a ustar, GNU or older header block whose numbers were parsed.
type header struct {
	block  []byte
	flag   byte
	format format
	size   int64
}

type format int

const (
	formatV7 format = iota
	formatUSTAR
	formatSTAR
	formatGNU
)

// extended is what the headers before an entry said about it.
type extended struct {
	any        bool
	pax        paxRecords
	name, link string
}

var (
	errChecksum = errors.New("the checksum is wrong: damaged, or not a tar archive")
	errNumber   = errors.New("a number is neither octal nor base-256")
)

// parseHeader checks the block's sum, tells its format, and reads the fields
// that every kind of header has.
func parseHeader(b []byte) (*header, error) {
	if err := checksum(b); err != nil {
		return nil, err
	}
	h := &header{block: b, flag: b[156]}
	switch magic, version, trailer := string(b[257:263]), string(b[263:265]), string(b[508:512]); {
	case magic == "ustar " && version == " \x00":
		h.format = formatGNU
	case magic == "ustar\x00" && trailer == "tar\x00":
		h.format = formatSTAR
	case magic == "ustar\x00":
		h.format = formatUSTAR
	}
	size, err := number(b[124:136])
	if err != nil {
		return nil, fmt.Errorf("size: %w", err)
	}
	if size < 0 {
		return nil, fmt.Errorf("size %d is negative", size)
	}
	h.size = size
	return h, nil
}

// checksum accepts the sum of unsigned bytes and, as old archivers wrote it,
// that of signed ones.
func checksum(b []byte) error {
	want, err := number(b[148:156])
	if err != nil {
		return errChecksum
	}
	var unsigned, signed int64
	for i, c := range b {
		if i >= 148 && i < 156 {
			c = ' '
		}
		unsigned += int64(c)
		signed += int64(int8(c))
	}
	if want != unsigned && want != signed {
		return errChecksum
	}
	return nil
}

// number reads an octal field or, when its first bit is set, a base-256 one.
func number(field []byte) (int64, error) {
	if field[0]&0x80 != 0 {
		return base256(field)
	}
	digits := bytes.Trim(field, " \x00")
	if i := bytes.IndexByte(digits, 0); i >= 0 {
		digits = digits[:i]
	}
	if len(digits) == 0 {
		return 0, nil
	}
	n, err := strconv.ParseInt(string(digits), 8, 64)
	if err != nil || n < 0 || digits[0] == '+' || digits[0] == '-' {
		return 0, fmt.Errorf("%q: %w", digits, errNumber)
	}
	return n, nil
}

// base256 reads a two's complement big-endian number whose first bit is a
// mark and whose second is the sign (GNU tar).
func base256(field []byte) (int64, error) {
	negative := field[0]&0x40 != 0
	var invert byte
	if negative {
		invert = 0xff
	}
	var x uint64
	for i, c := range field {
		c ^= invert
		if i == 0 {
			c &= 0x7f
		}
		if x>>56 > 0 {
			return 0, fmt.Errorf("base-256 number: %w", strconv.ErrRange)
		}
		x = x<<8 | uint64(c)
	}
	if x > math.MaxInt64 {
		return 0, fmt.Errorf("base-256 number: %w", strconv.ErrRange)
	}
	if negative {
		return ^int64(x), nil
	}
	return int64(x), nil
}

// name returns the path in the block itself.
func (h *header) name() string {
	name := cString(h.block[0:100])
	var prefix string
	switch h.format {
	case formatUSTAR:
		prefix = cString(h.block[345:500])
	case formatSTAR:
		prefix = cString(h.block[345:476])
	}
	if prefix == "" {
		return name
	}
	return prefix + "/" + name
}

// assemble makes the entry out of the header block and what came before it.
func (r *tarReader) assemble(h *header, ext *extended) error {
	e := &r.entry
	e.name, e.link = h.name(), cString(h.block[157:257])
	if ext.name != "" {
		e.name = ext.name
	}
	if ext.link != "" {
		e.link = ext.link
	}
	if err := e.numbers(h); err != nil {
		return err
	}
	e.size = h.size
	sparse, err := e.applyPAX(ext.pax)
	if err != nil {
		return err
	}
	if err := e.setKind(h); err != nil {
		return err
	}
	return r.setBody(h, sparse)
}

// numbers reads the numeric fields of the block. PAX records override them
// later, but a field that cannot be read is refused all the same.
func (e *entry) numbers(h *header) error {
	for _, f := range []struct {
		what string
		from int
		to   int
		max  int64
		set  func(int64)
	}{
		{"mode", 100, 108, math.MaxInt64, func(n int64) { e.mode = uint16(n & 0o7777) }},
		{"uid", 108, 116, maxID, func(n int64) { e.uid = uint32(n) }},
		{"gid", 116, 124, maxID, func(n int64) { e.gid = uint32(n) }},
		{"mtime", 136, 148, math.MaxInt64, func(n int64) { e.mtime.sec = n }},
	} {
		n, err := number(h.block[f.from:f.to])
		if err != nil {
			return fmt.Errorf("%s: %w", f.what, err)
		}
		if n > f.max || n < 0 && f.what != "mtime" && f.what != "mode" {
			return fmt.Errorf("%s %d is not within 0 and %d", f.what, n, f.max)
		}
		f.set(n)
	}
	return nil
}

// setKind resolves the type flag, and the fields that only some kinds have.
func (e *entry) setKind(h *header) error {
	switch h.flag {
	case 0:
		// Before ustar a directory was a file whose name ends in a slash.
		e.kind = flagRegular
		if strings.HasSuffix(e.name, "/") {
			e.kind = flagDir
		}
	case '7', 'S': // contiguous; GNU sparse
		e.kind = flagRegular
	case flagRegular, flagHardlink, flagSymlink, flagChar, flagBlock, flagDir, flagFifo:
		e.kind = h.flag
	default:
		return fmt.Errorf("unknown type flag %#o", h.flag)
	}
	switch e.kind {
	case flagChar, flagBlock:
		return e.device(h)
	case flagSymlink:
		if len(e.link) > maxTarget || e.link == "" {
			return fmt.Errorf("a symlink target of %d bytes is not within 1 and %d", len(e.link), maxTarget)
		}
	}
	return nil
}

func (e *entry) device(h *header) error {
	if h.format == formatV7 {
		return errors.New("a device without device numbers")
	}
	major, err := number(h.block[329:337])
	if err != nil {
		return fmt.Errorf("device major: %w", err)
	}
	minor, err := number(h.block[337:345])
	if err != nil {
		return fmt.Errorf("device minor: %w", err)
	}
	if major < 0 || major > maxMajor || minor < 0 || minor > maxMinor {
		return fmt.Errorf("device %d:%d is out of range (major to %d, minor to %d)", major, minor, maxMajor, maxMinor)
	}
	e.major, e.minor = uint32(major), uint32(minor)
	return nil
}

// setBody says how many bytes follow and, for a sparse file, where they go.
func (r *tarReader) setBody(h *header, pax sparseRecords) error {
	e := &r.entry
	if e.kind != flagRegular {
		e.size = 0 // links may carry the size of their target
		return nil
	}
	e.stored = e.size
	r.pad = padded(e.size) - e.size
	switch {
	case h.flag == 'S':
		return r.gnuSparse(h)
	case pax.used():
		return r.paxSparse(pax)
	}
	return nil
}
