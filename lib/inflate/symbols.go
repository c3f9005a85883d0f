package inflate

import "encoding/binary"

// outcome is how a loop over symbols ended.
type outcome uint8

const (
	// outcomeShort: no room left, or too little input for the fast loop.
	outcomeShort outcome = iota
	outcomeEndOfBlock
	outcomeBadSymbol
	outcomeBadDistance
	outcomeTooFar
	outcomeCutOff
)

// decodeSymbols decodes the symbols of a fixed or dynamic block until the
// block ends or output is full.
func (z *Reader) decodeSymbols() error {
	for z.pos < outputLimit {
		if z.inEnd-z.in < fastInput && z.end == nil {
			z.fill()
		}
		var how outcome
		if z.inEnd-z.in >= fastInput {
			how = z.decodeFast()
		} else {
			how = z.decodeCareful()
		}
		switch how {
		case outcomeShort:
		case outcomeEndOfBlock:
			z.state = stateBlock
			return nil
		case outcomeBadSymbol:
			return z.corrupt("bad literal or length code")
		case outcomeBadDistance:
			return z.corrupt("bad distance code")
		case outcomeTooFar:
			return z.corrupt("distance reaches before the start of the data")
		case outcomeCutOff:
			return z.cutOff()
		}
	}
	return nil
}

// decodeFast decodes while there are fastInput bytes of input and outputRoom
// bytes of room, and needs no other check of either.
//
// The bits are handled as in libdeflate: a refill ORs in eight bytes, and
// counts as many whole ones as fit. The bits above the count are then true
// bits of input too, and ORing them in again changes nothing. Only the low 6
// bits of n are the count; what is above them is left over from subtracting
// whole entries.
func (z *Reader) decodeFast() outcome {
	var (
		buffer = z.bits
		n      = uint32(z.nbits) //nolint:gosec // at most 63.
		in     = z.in
		inEnd  = z.inEnd - fastInput
		pos    = z.pos
		how    = outcomeShort
	)
	buffer |= load64(&z.input, in) << (n & 63)
	in += uint(7 - n>>3&7)
	n |= 56
	entry := z.litlen[buffer&(1<<litlenBits-1)]

	for in <= inEnd && pos < outputLimit {
		buffer |= load64(&z.input, in) << (n & 63)
		in += uint(7 - n>>3&7)
		n |= 56

		if entry >= oneLiteral {
			store16(&z.output, pos, entry>>literalShift)
			pos += uint(entry >> 30)
			buffer >>= entry & 63
			n -= entry
			entry = z.litlen[buffer&(1<<litlenBits-1)]
			if entry >= oneLiteral {
				store16(&z.output, pos, entry>>literalShift)
				pos += uint(entry >> 30)
				buffer >>= entry & 63
				n -= entry
				entry = z.litlen[buffer&(1<<litlenBits-1)]
				if entry >= oneLiteral {
					store16(&z.output, pos, entry>>literalShift)
					pos += uint(entry >> 30)
					buffer >>= entry & 63
					n -= entry
					entry = z.litlen[buffer&(1<<litlenBits-1)]
					continue
				}
			}
		}

		saved := buffer
		buffer >>= entry & 63
		n -= entry
		if entry&flagExceptional != 0 {
			if entry&flagSubtable != 0 {
				entry = z.litlen[(uint64(entry>>16)+buffer&(1<<(entry>>8&15)-1))&(litlenTableSize-1)]
				saved = buffer
				buffer >>= entry & 63
				n -= entry
				if entry >= oneLiteral {
					store16(&z.output, pos, entry>>literalShift)
					pos++
					entry = z.litlen[buffer&(1<<litlenBits-1)]
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
		length := uint(entry>>16) + uint(saved&(1<<(entry&63)-1)>>(entry>>8&63))

		buffer |= load64(&z.input, in) << (n & 63)
		in += uint(7 - n>>3&7)
		n |= 56

		entry = z.distance[buffer&(1<<distBits-1)]
		if entry&flagExceptional != 0 {
			if entry&flagSubtable == 0 {
				how = outcomeBadDistance
				break
			}
			buffer >>= distBits
			n -= distBits
			entry = z.distance[(uint64(entry>>16)+buffer&(1<<(entry>>8&15)-1))&(distTableSize-1)]
			if entry&flagExceptional != 0 {
				how = outcomeBadDistance
				break
			}
		}
		distance := uint(entry>>16) + uint(buffer&(1<<(entry&63)-1)>>(entry>>8&63))
		buffer >>= entry & 63
		n -= entry
		entry = z.litlen[buffer&(1<<litlenBits-1)]

		if distance > pos-z.memberStart {
			how = outcomeTooFar
			break
		}
		copyMatch(&z.output, pos, distance, length)
		pos += length
	}

	z.nbits = uint(n & 63)
	z.bits = buffer & (1<<z.nbits - 1)
	z.in = in
	z.pos = pos
	return how
}

func load64(input *[inputSize]byte, i uint) uint64 {
	return binary.LittleEndian.Uint64(input[i : i+8])
}

func store16(output *[outputSize]byte, i uint, v uint32) {
	binary.LittleEndian.PutUint16(output[i:i+2], uint16(v))
}

// copyMatch copies length bytes from distance before pos to pos, and up to 16
// bytes more.
func copyMatch(output *[outputSize]byte, pos, distance, length uint) {
	from := pos - distance
	end := pos + length
	switch {
	case distance >= 8:
		for {
			v := binary.LittleEndian.Uint64(output[from : from+8])
			binary.LittleEndian.PutUint64(output[pos:pos+8], v)
			v = binary.LittleEndian.Uint64(output[from+8 : from+16])
			binary.LittleEndian.PutUint64(output[pos+8:pos+16], v)
			pos += 16
			from += 16
			if pos >= end {
				return
			}
		}
	case distance == 1:
		v := uint64(output[from]) * 0x0101010101010101
		for pos < end {
			binary.LittleEndian.PutUint64(output[pos:pos+8], v)
			pos += 8
		}
	default:
		for pos < end {
			v := binary.LittleEndian.Uint64(output[from : from+8])
			binary.LittleEndian.PutUint64(output[pos:pos+8], v)
			pos += distance
			from += distance
		}
	}
}

// decodeCareful decodes the symbols near the end of the input: it takes no bit
// that is not there.
func (z *Reader) decodeCareful() outcome {
	for z.pos < outputLimit {
		// 48 bits are the longest length and distance together, so one
		// refill suffices. What is missing now will not come.
		z.refill()
		entry := z.litlen[z.bits&(1<<litlenBits-1)]
		if entry&flagSubtable != 0 && entry < oneLiteral {
			if z.nbits < litlenBits {
				return outcomeCutOff
			}
			z.take(litlenBits)
			entry = z.litlen[(uint64(entry>>16)+z.bits&(1<<(entry>>8&15)-1))&(litlenTableSize-1)]
		}
		used := uint(entry & 0xff)
		if z.nbits < used {
			return outcomeCutOff
		}
		if entry >= oneLiteral {
			z.take(used)
			store16(&z.output, z.pos, entry>>literalShift)
			z.pos += uint(entry >> 30)
			continue
		}
		if entry&flagEndOfBlock != 0 {
			z.take(used)
			return outcomeEndOfBlock
		}
		if entry&flagExceptional != 0 {
			return outcomeBadSymbol
		}
		z.take(uint(entry >> 8 & 15))
		length := uint(entry>>16) + z.take(used-uint(entry>>8&15))

		entry = z.distance[z.bits&(1<<distBits-1)]
		if entry&flagSubtable != 0 {
			if z.nbits < distBits {
				return outcomeCutOff
			}
			z.take(distBits)
			entry = z.distance[(uint64(entry>>16)+z.bits&(1<<(entry>>8&15)-1))&(distTableSize-1)]
		}
		used = uint(entry & 0xff)
		if z.nbits < used {
			return outcomeCutOff
		}
		if entry&flagExceptional != 0 {
			return outcomeBadDistance
		}
		z.take(uint(entry >> 8 & 15))
		distance := uint(entry>>16) + z.take(used-uint(entry>>8&15))
		if distance > z.pos-z.memberStart {
			return outcomeTooFar
		}
		copyMatch(&z.output, z.pos, distance, length)
		z.pos += length
	}
	return outcomeShort
}
