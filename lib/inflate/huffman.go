package inflate

import (
	"bytes"
	"math/bits"
)

const (
	// maxLitlenSymbols and maxDistSymbols bound a dynamic block's codes; the
	// fixed ones have two more symbols each, which must not be used
	// (RFC 1951, section 3.2.6).
	maxLitlenSymbols   = 286
	maxDistSymbols     = 30
	fixedLitlenSymbols = 288
	fixedDistSymbols   = 32
	precodeSymbols     = 19
	endOfBlock         = 256

	maxCodeLength = 15

	// litlenBits, distBits and precodeBits are the widths of the primary
	// tables' indexes.
	litlenBits  = 11
	distBits    = 8
	precodeBits = 7

	// The sizes are powers of two, so that a masked index needs no check.
	// They hold the primary table and the most that complete codes need in
	// subtables: 2342 entries in all for 288 symbols, 402 for 32.
	litlenTableSize = 4096
	distTableSize   = 512
)

// An entry of a decoding table is a uint32. All have in common:
//
//	bits 0–7    bits to consume, extra bits included
//	bits 8–11   length of the code: where the extra bits start
//	bit  15     exceptional
//
// An ordinary entry is a literal, a length, a distance, or a symbol of the
// code length code:
//
//	bits 16–30  the literal or the symbol, or the base of the length or distance
//	bit  31     literal
//
// An exceptional entry points to a subtable, ends the block, or is an error
// (neither flag):
//
//	bits 8–11   width of the subtable's index
//	bit  13     end of the block
//	bit  14     subtable
//	bits 16–30  where the subtable starts
const (
	flagLiteral     = 1 << 31
	flagExceptional = 1 << 15
	flagSubtable    = 1 << 14
	flagEndOfBlock  = 1 << 13
)

// lengthEntries are the entries of the symbols from 257 on, and distEntries
// those of the distance symbols, with codes of no length yet (RFC 1951,
// section 3.2.5).
var (
	lengthEntries = [...]uint32{
		3 << 16, 4 << 16, 5 << 16, 6 << 16, 7 << 16, 8 << 16, 9 << 16, 10 << 16,
		11<<16 | 1, 13<<16 | 1, 15<<16 | 1, 17<<16 | 1, 19<<16 | 2, 23<<16 | 2, 27<<16 | 2, 31<<16 | 2,
		35<<16 | 3, 43<<16 | 3, 51<<16 | 3, 59<<16 | 3, 67<<16 | 4, 83<<16 | 4, 99<<16 | 4, 115<<16 | 4,
		131<<16 | 5, 163<<16 | 5, 195<<16 | 5, 227<<16 | 5, 258 << 16,
		flagExceptional, flagExceptional,
	}
	distEntries = [fixedDistSymbols]uint32{
		1 << 16, 2 << 16, 3 << 16, 4 << 16, 5<<16 | 1, 7<<16 | 1, 9<<16 | 2, 13<<16 | 2,
		17<<16 | 3, 25<<16 | 3, 33<<16 | 4, 49<<16 | 4, 65<<16 | 5, 97<<16 | 5, 129<<16 | 6, 193<<16 | 6,
		257<<16 | 7, 385<<16 | 7, 513<<16 | 8, 769<<16 | 8, 1025<<16 | 9, 1537<<16 | 9, 2049<<16 | 10, 3073<<16 | 10,
		4097<<16 | 11, 6145<<16 | 11, 8193<<16 | 12, 12289<<16 | 12, 16385<<16 | 13, 24577<<16 | 13,
		flagExceptional, flagExceptional,
	}
	litlenEntries  = newLitlenEntries()
	precodeEntries = newPrecodeEntries()
)

func newLitlenEntries() (entries [fixedLitlenSymbols]uint32) {
	for i := range entries {
		switch {
		case i < endOfBlock:
			entries[i] = flagLiteral | uint32(i)<<16
		case i == endOfBlock:
			entries[i] = flagExceptional | flagEndOfBlock
		default:
			entries[i] = lengthEntries[i-endOfBlock-1]
		}
	}
	return entries
}

func newPrecodeEntries() (entries [precodeSymbols]uint32) {
	for i := range entries {
		entries[i] = uint32(i) << 16
	}
	return entries
}

// buildTable fills table for the canonical code with the given lengths
// (RFC 1951, section 3.2.2), where entries[i] is the entry of symbol i with a
// code of no length. The primary table is the first 1<<width entries.
//
// It returns false for a code that is over-subscribed, and for one that is
// incomplete. As in zlib and compress/flate two incomplete codes are legal:
// the empty one, and a single code of one bit (RFC 1951 has them for
// distances). What has no code there is an exceptional entry: an error when
// it comes up.
func buildTable(table []uint32, width uint, lengths []uint8, entries []uint32) bool {
	var count [maxCodeLength + 1]uint16
	for _, l := range lengths {
		count[l&maxCodeLength]++
	}
	used := len(lengths) - int(count[0])
	count[0] = 0

	// Every code of length l takes 1/2^l of the space.
	space := 0
	for _, n := range count[1:] {
		space = space<<1 + int(n)
	}
	if space != 1<<maxCodeLength {
		return buildIncomplete(table[:1<<width], lengths, entries, used)
	}

	// Sort the symbols by code length, then by value.
	var next [maxCodeLength + 2]uint16
	for l := 1; l <= maxCodeLength; l++ {
		next[l+1] = next[l] + count[l]
	}
	var sorted [fixedLitlenSymbols]uint16
	for symbol, l := range lengths {
		if l != 0 {
			sorted[next[l]] = uint16(symbol)
			next[l]++
		}
	}
	// Codes are read from their highest bit on, but bits from the lowest:
	// the index of a code is its reverse. The table is doubled each time the
	// codes become one bit longer, which repeats the shorter ones.
	symbols := sorted[:used]
	code := uint16(0)
	for l := uint(1); l <= width; l++ {
		code <<= 1
		for _, symbol := range symbols[:count[l]] {
			table[bits.Reverse16(code)>>(16-l)] = entries[symbol] + codeLength(l)
			code++
		}
		symbols = symbols[count[l]:]
		if l < width {
			copy(table[1<<l:2<<l], table[:1<<l])
		}
	}
	buildSubtables(table, width, symbols, count[:], entries, code)
	return true
}

// buildIncomplete is buildTable for a code that does not use its space exactly:
// it refuses all but the empty code and the single code of one bit.
func buildIncomplete(table []uint32, lengths []uint8, entries []uint32, used int) bool {
	only := bytes.IndexByte(lengths, 1)
	if used > 1 || used == 1 && only < 0 {
		return false
	}
	for i := range table {
		table[i] = flagExceptional
		if used == 1 && i&1 == 0 {
			table[i] = entries[only] + codeLength(1)
		}
	}
	return true
}

// codeLength is what the length of a code adds to its entry.
func codeLength(l uint) uint32 {
	return uint32(l)<<8 | uint32(l)
}

// buildSubtables continues buildTable with the codes longer than width. The
// codes that begin with the same width bits share a subtable.
func buildSubtables(table []uint32, width uint, symbols, count []uint16, entries []uint32, code uint16) {
	end := uint(1) << width
	prefix := ^uint(0)
	var start, sub uint
	for l := width + 1; l <= maxCodeLength; l++ {
		code <<= 1
		for n := uint(count[l]); n > 0; n-- {
			reversed := uint(bits.Reverse16(code) >> (16 - l))
			if p := reversed & (1<<width - 1); p != prefix {
				prefix = p
				start, sub = end, subtableWidth(count, width, l, n)
				end += 1 << sub
				table[prefix] = flagExceptional | flagSubtable |
					uint32(start)<<16 | uint32(sub)<<8 | uint32(width)
			}
			entry := entries[symbols[0]] + codeLength(l-width)
			for i := reversed >> width; i < 1<<sub; i += 1 << (l - width) {
				table[start+i] = entry
			}
			symbols = symbols[1:]
			code++
		}
	}
}

// subtableWidth is the width of the index of a subtable whose first code has
// length l, when left codes of that length are left: so many bits that the
// codes which follow fill the subtable.
func subtableWidth(count []uint16, width, l, left uint) uint {
	space := left
	for space < 1<<(l-width) {
		l++
		space = space<<1 + uint(count[l])
	}
	return l - width
}
