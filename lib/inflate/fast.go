package inflate

import "encoding/binary"

// decodeFast decodes while there are fastInput bytes of input and outputRoom
// bytes of room, and so needs no other check of either.
//
// It handles the bits as libdeflate does. A refill ORs in eight bytes and
// counts as many whole ones as fit, 56 to 63 bits then. What lies above the
// count are true bits of input too: to OR them in again changes nothing, and
// a look-up may see them. Only the low 6 bits of n are the count; subtracting
// a whole entry instead of its low bits leaves rubbish above them.
//
// entry is always the entry of the next symbol, looked up before the refill,
// so that the load of the one and the load of the other overlap.
func (z *Reader) decodeFast() outcome {
	var (
		how    = outcomeShort
		bits   = z.bits
		n      = uint32(z.nbits)
		in     = z.in
		inLast = z.inEnd - fastInput
		pos    = z.pos
	)
	bits, n, in = z.refillFast(bits, n, in)
	entry := z.litlenEntry(bits)

	for in <= inLast && pos < outputLimit {
		bits, n, in = z.refillFast(bits, n, in)

		// 56 bits are enough for four codes of litlenBits and the next
		// look-up, or for three of them, a longer code and its extra bits.
		if entry&flagLiteral != 0 {
			z.output[pos&outputMask] = byte(entry >> 16)
			pos++
			bits, n = consume(bits, n, entry)
			entry = z.litlenEntry(bits)
			if entry&flagLiteral != 0 {
				z.output[pos&outputMask] = byte(entry >> 16)
				pos++
				bits, n = consume(bits, n, entry)
				entry = z.litlenEntry(bits)
				if entry&flagLiteral != 0 {
					z.output[pos&outputMask] = byte(entry >> 16)
					pos++
					bits, n = consume(bits, n, entry)
					entry = z.litlenEntry(bits)
					if entry&flagLiteral != 0 {
						z.output[pos&outputMask] = byte(entry >> 16)
						pos++
						bits, n = consume(bits, n, entry)
						entry = z.litlenEntry(bits)
						continue
					}
				}
			}
		}

		// The extra bits are cut out of coded, off the critical path: that
		// runs from one look-up to the next.
		coded := bits
		bits, n = consume(bits, n, entry)
		if entry&flagExceptional != 0 {
			if entry&flagSubtable != 0 {
				entry = z.litlen[subtableIndex(entry, bits)&(litlenTableSize-1)]
				coded = bits
				bits, n = consume(bits, n, entry)
				if entry&flagLiteral != 0 {
					z.output[pos&outputMask] = byte(entry >> 16)
					pos++
					entry = z.litlenEntry(bits)
					continue
				}
			}
			if entry&flagEndOfBlock != 0 {
				how = outcomeEndOfBlock
				break
			}
			if entry&flagExceptional != 0 {
				how = outcomeBadSymbol
				break
			}
		}
		length := entryValue(entry, coded)

		// The distance needs up to 28 bits, the look-up after it 11 more.
		if n&63 < 39 {
			bits, n, in = z.refillFast(bits, n, in)
		}
		entry = z.distance[bits&(1<<distBits-1)]
		if entry&flagExceptional != 0 {
			if entry&flagSubtable == 0 {
				how = outcomeBadDistance
				break
			}
			bits, n = consume(bits, n, entry)
			entry = z.distance[subtableIndex(entry, bits)&(distTableSize-1)]
			if entry&flagExceptional != 0 {
				how = outcomeBadDistance
				break
			}
		}
		distance := entryValue(entry, bits)
		bits, n = consume(bits, n, entry)
		entry = z.litlenEntry(bits)
		if distance > pos-z.memberStart {
			how = outcomeTooFar
			break
		}

		from, end := pos-distance, pos+length
		switch {
		case distance >= wordSize:
			// Most matches are no longer than 32 bytes, and to copy too
			// many is cheaper than a branch foretold wrong. A word is
			// loaded after the one before it is stored: it may be that.
			z.copyWord(pos, from)
			z.copyWord(pos+8, from+8)
			z.copyWord(pos+16, from+16)
			z.copyWord(pos+24, from+24)
			if length > 32 {
				pos += 32
				from += 32
				for pos < end {
					z.copyWord(pos, from)
					z.copyWord(pos+8, from+8)
					pos += 16
					from += 16
				}
			}
		case distance == 1:
			v := uint64(z.output[from&outputMask]) * 0x0101010101010101
			for ; pos < end; pos += wordSize {
				z.storeWord(pos, v)
			}
		default:
			// Of each word the first distance bytes are right.
			for ; pos < end; pos += distance {
				z.copyWord(pos, from)
				from += distance
			}
		}
		pos = end
	}

	z.nbits = uint(n & 63)
	z.bits = bits & (1<<z.nbits - 1)
	z.in = in
	z.pos = pos
	return how
}

// refillFast loads bits until there are at least 56. It needs 8 bytes of input.
func (z *Reader) refillFast(bits uint64, n uint32, in uint) (uint64, uint32, uint) {
	i := in & inputMask
	bits |= binary.LittleEndian.Uint64(z.input[i:i+wordSize]) << (n & 63)
	return bits, n | 56, in + uint(7-n>>3&7)
}

// consume drops the bits of an entry.
func consume(bits uint64, n, entry uint32) (uint64, uint32) {
	return bits >> (entry & 63), n - entry
}

func (z *Reader) litlenEntry(bits uint64) uint32 { return z.litlen[bits&(1<<litlenBits-1)] }

// copyWord copies 8 bytes within output.
func (z *Reader) copyWord(to, from uint) {
	from &= outputMask
	z.storeWord(to, binary.LittleEndian.Uint64(z.output[from:from+wordSize]))
}

func (z *Reader) storeWord(to uint, v uint64) {
	to &= outputMask
	binary.LittleEndian.PutUint64(z.output[to:to+wordSize], v)
}
