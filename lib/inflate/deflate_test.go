package inflate_test

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
	"math/rand/v2"
)

// bitWriter writes deflate data by hand, so that tests can write what no
// encoder would.
type bitWriter struct {
	out  []byte
	free uint // unused bits in the last byte
}

// bits writes the n low bits of v, the lowest first.
func (w *bitWriter) bits(v uint64, n uint) {
	for ; n > 0; n-- {
		if w.free == 0 {
			w.out = append(w.out, 0)
			w.free = 8
		}
		w.out[len(w.out)-1] |= byte(v&1) << (8 - w.free)
		w.free--
		v >>= 1
	}
}

// code writes a Huffman code of n bits, its highest bit first.
func (w *bitWriter) code(v uint16, n uint) {
	w.bits(uint64(bits.Reverse16(v)>>(16-n)), n)
}

func (w *bitWriter) align() { w.free = 0 }

// stored writes a stored block.
func (w *bitWriter) stored(final bool, body []byte) {
	w.header(final, 0)
	w.align()
	w.bits(uint64(len(body)), 16)
	w.bits(uint64(^uint16(len(body))), 16)
	w.out = append(w.out, body...)
}

// header writes the first three bits of a block.
func (w *bitWriter) header(final bool, kind uint64) {
	if final {
		w.bits(1, 1)
	} else {
		w.bits(0, 1)
	}
	w.bits(kind, 2)
}

// dynamicLengths writes the header of a dynamic block with these code
// lengths, each sent as itself under a flat code length code.
func (w *bitWriter) dynamicLengths(litlens, dists []uint8) {
	w.dynamicHeader(uint64(len(litlens)), uint64(len(dists)))
	for _, lengths := range [][]uint8{litlens, dists} {
		for _, l := range lengths {
			w.lengthSymbol(l)
		}
	}
}

// precodeOrder is the order of RFC 1951, section 3.2.7.
var precodeOrder = []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// dynamicHeader writes the counts of a dynamic block and a code length code
// with 4 bits for the symbols 0 to 12, 5 bits for 13 to 18.
func (w *bitWriter) dynamicHeader(litlens, dists uint64) {
	w.bits(litlens-257, 5)
	w.bits(dists-1, 5)
	w.bits(19-4, 4)
	for _, symbol := range precodeOrder {
		if symbol < 13 {
			w.bits(4, 3)
		} else {
			w.bits(5, 3)
		}
	}
}

// lengthSymbol writes one symbol of the code length code of dynamicHeader.
func (w *bitWriter) lengthSymbol(symbol uint8) {
	if symbol < 13 {
		w.code(uint16(symbol), 4)
	} else {
		w.code(26+uint16(symbol)-13, 5)
	}
}

// canonical returns the codes that belong to the lengths (RFC 1951, section
// 3.2.2), in the RFC's own way of counting.
func canonical(lengths []uint8) []uint16 {
	var count, next [17]uint16
	for _, l := range lengths {
		if l > 0 {
			count[l]++
		}
	}
	for l := 1; l <= 15; l++ {
		next[l+1] = (next[l] + count[l]) << 1
	}
	codes := make([]uint16, len(lengths))
	for symbol, l := range lengths {
		if l > 0 {
			codes[symbol] = next[l]
			next[l]++
		}
	}
	return codes
}

func fixedLengths() (litlens, dists []uint8) {
	litlens, dists = make([]uint8, 288), make([]uint8, 32)
	for i := range litlens {
		switch {
		case i < 144 || i >= 280:
			litlens[i] = 8
		case i < 256:
			litlens[i] = 9
		default:
			litlens[i] = 7
		}
	}
	for i := range dists {
		dists[i] = 5
	}
	return litlens, dists
}

// blockWriter writes the symbols of one fixed or dynamic block.
type blockWriter struct {
	*bitWriter
	litlens, dists         []uint8
	litlenCodes, distCodes []uint16
}

func (w *bitWriter) fixed(final bool) blockWriter {
	w.header(final, 1)
	litlens, dists := fixedLengths()
	return blockWriter{w, litlens, dists, canonical(litlens), canonical(dists)}
}

func (w *bitWriter) dynamic(final bool, litlens, dists []uint8) blockWriter {
	w.header(final, 2)
	w.dynamicLengths(litlens, dists)
	return blockWriter{w, litlens, dists, canonical(litlens), canonical(dists)}
}

func (b blockWriter) litlen(symbol int) {
	b.code(b.litlenCodes[symbol], uint(b.litlens[symbol]))
}

func (b blockWriter) distance(symbol int) {
	b.code(b.distCodes[symbol], uint(b.dists[symbol]))
}

func (b blockWriter) end() { b.litlen(256) }

// The extra bits and bases of RFC 1951, section 3.2.5, computed instead of
// copied from the decoder.
func lengthOf(symbol int) (base, extra uint) {
	if symbol == 285 {
		return 258, 0
	}
	if symbol < 265 {
		return uint(symbol) - 254, 0
	}
	extra = uint(symbol-261) / 4
	return 3 + (4+uint(symbol-261)%4)<<extra, extra
}

func distanceOf(symbol int) (base, extra uint) {
	if symbol < 4 {
		return uint(symbol) + 1, 0
	}
	extra = uint(symbol)/2 - 1
	return 1 + (2+uint(symbol)%2)<<extra, extra
}

// randomLengths returns the code lengths of a random complete code over a
// random choice of symbols among count, of which must is one.
func randomLengths(rng *rand.Rand, count, used, must int) []uint8 {
	leaves := []uint8{1, 1}
	for len(leaves) < used {
		// Splitting mostly the last leaf gives long codes, a random one flat ones.
		i := len(leaves) - 1
		if rng.IntN(3) > 0 {
			i = rng.IntN(len(leaves))
		}
		if leaves[i] == 15 {
			i = 0
			for leaves[i] == 15 {
				i++
			}
		}
		leaves[i]++
		leaves = append(leaves, leaves[i])
	}
	rng.Shuffle(len(leaves), func(i, j int) { leaves[i], leaves[j] = leaves[j], leaves[i] })
	lengths := make([]uint8, count)
	symbols := rng.Perm(count)[:used]
	if must >= 0 {
		found := false
		for _, s := range symbols {
			found = found || s == must
		}
		if !found {
			symbols[0] = must
		}
	}
	for i, s := range symbols {
		lengths[s] = leaves[i]
	}
	return lengths
}

// randomDeflate returns random deflate data of some blocks, and what it means.
func randomDeflate(rng *rand.Rand, blocks, symbols int) (deflated, plain []byte) {
	w := new(bitWriter)
	for i := range blocks {
		final := i == blocks-1
		var b blockWriter
		switch rng.IntN(8) {
		case 0:
			body := make([]byte, rng.IntN(3)*rng.IntN(1<<rng.IntN(16)))
			body = body[:min(len(body), 65535)]
			for j := range body {
				body[j] = byte(rng.Uint32())
			}
			w.stored(final, body)
			plain = append(plain, body...)
			continue
		case 1:
			b = w.fixed(final)
		default:
			litlens := randomLengths(rng, 257+rng.IntN(30), 2+rng.IntN(256), 256)
			dists := randomLengths(rng, 2+rng.IntN(29), 2, -1)
			if n := len(dists); rng.IntN(4) > 0 {
				dists = randomLengths(rng, n, 2+rng.IntN(n-1), -1)
			}
			b = w.dynamic(final, litlens, dists)
		}
		plain = b.random(rng, rng.IntN(symbols+1), plain)
		b.end()
	}
	return w.out, plain
}

// random writes count random symbols that the codes have.
func (b blockWriter) random(rng *rand.Rand, count int, plain []byte) []byte {
	var literals, lengths, dists []int
	for s, l := range b.litlens[:min(len(b.litlens), 286)] {
		switch {
		case l == 0 || s == 256:
		case s < 256:
			literals = append(literals, s)
		default:
			lengths = append(lengths, s)
		}
	}
	for s, l := range b.dists[:min(len(b.dists), 30)] {
		if l > 0 {
			dists = append(dists, s)
		}
	}
	for range count {
		if len(lengths) > 0 && len(dists) > 0 && (len(literals) == 0 || rng.IntN(2) == 0) {
			d := dists[rng.IntN(len(dists))]
			base, extra := distanceOf(d)
			over := rng.Uint64() & (1<<extra - 1)
			if distance := base + uint(over); distance <= uint(len(plain)) {
				l := lengths[rng.IntN(len(lengths))]
				lbase, lextra := lengthOf(l)
				lover := rng.Uint64() & (1<<lextra - 1)
				b.litlen(l)
				b.bits(lover, lextra)
				b.distance(d)
				b.bits(over, extra)
				for range lbase + uint(lover) {
					plain = append(plain, plain[uint(len(plain))-distance])
				}
				continue
			}
		}
		if len(literals) > 0 {
			s := literals[rng.IntN(len(literals))]
			b.litlen(s)
			plain = append(plain, byte(s))
		}
	}
	return plain
}

// plainHeader is a member's header without any optional field.
const plainHeader = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

// member wraps deflate data in a gzip header and the trailer of plain.
func member(deflated, plain []byte) []byte {
	out := append([]byte(plainHeader), deflated...)
	out = binary.LittleEndian.AppendUint32(out, crc32.ChecksumIEEE(plain))
	return binary.LittleEndian.AppendUint32(out, uint32(len(plain)))
}
