package inflate

// The block types (RFC 1951, section 3.2.3).
const (
	blockStored  = 0
	blockFixed   = 1
	blockDynamic = 2
)

// startBlock reads a block's header, tables included.
func (z *Reader) startBlock() error {
	if z.final {
		z.final = false
		z.state = stateTrailer
		return nil
	}
	if err := z.need(3); err != nil {
		return err
	}
	z.final = z.take(1) == 1
	switch z.take(2) {
	case blockStored:
		return z.startStored()
	case blockFixed:
		z.state = stateSymbols
		return z.startFixed()
	case blockDynamic:
		z.state = stateSymbols
		return z.startDynamic()
	default:
		return z.corrupt("reserved block type")
	}
}

// startStored reads the header of a stored block (RFC 1951, section 3.2.4).
func (z *Reader) startStored() error {
	z.align()
	if err := z.need(32); err != nil {
		return err
	}
	size, check := z.take(16), z.take(16)
	if size != ^check&0xffff {
		return z.corrupt("length of a stored block does not match its complement")
	}
	z.align()
	z.storedLeft = size
	z.state = stateStored
	return nil
}

// copyStored copies as much of a stored block as output has room for.
func (z *Reader) copyStored() error {
	for z.storedLeft > 0 && z.pos < outputLimit {
		rest := z.unread()
		if len(rest) == 0 {
			return z.cutOff()
		}
		rest = rest[:min(uint(len(rest)), z.storedLeft)]
		n := uint(copy(z.output[z.pos:outputLimit], rest))
		z.in += n
		z.pos += n
		z.storedLeft -= n
	}
	if z.storedLeft == 0 {
		z.state = stateBlock
	}
	return nil
}

// startFixed builds the tables of the fixed codes (RFC 1951, section 3.2.6),
// unless the last block had them.
func (z *Reader) startFixed() error {
	if z.fixed {
		return nil
	}
	lengths := z.lengths[:fixedLitlenSymbols+fixedDistSymbols]
	for i := range lengths {
		switch {
		case i < 144:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		case i < 280:
			lengths[i] = 7
		case i < fixedLitlenSymbols:
			lengths[i] = 8
		default:
			lengths[i] = 5
		}
	}
	if err := z.buildTables(lengths[:fixedLitlenSymbols], lengths[fixedLitlenSymbols:]); err != nil {
		return err
	}
	z.fixed = true
	return nil
}

// The symbols of the code length code (RFC 1951, section 3.2.7).
const (
	repeatPrevious  = 16
	repeatZeroShort = 17
	repeatZeroLong  = 18
)

// precodeOrder is the order in which the code length code's own lengths come.
var precodeOrder = [precodeSymbols]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// startDynamic reads the codes of a dynamic block (RFC 1951, section 3.2.7).
func (z *Reader) startDynamic() error {
	z.fixed = false
	if err := z.need(14); err != nil {
		return err
	}
	litlens, dists, precodes := z.take(5)+257, z.take(5)+1, z.take(4)+4
	if litlens > maxLitlenSymbols {
		return z.corrupt("too many literal and length codes")
	}
	if dists > maxDistSymbols {
		return z.corrupt("too many distance codes")
	}
	var precode [precodeSymbols]uint8
	for _, symbol := range precodeOrder[:precodes] {
		if err := z.need(3); err != nil {
			return err
		}
		precode[symbol] = uint8(z.take(3))
	}
	if !buildTable(z.precode[:], precodeBits, precode[:], precodeEntries[:]) {
		return z.corrupt("bad code for code lengths")
	}
	lengths := z.lengths[:litlens+dists]
	if err := z.readLengths(lengths); err != nil {
		return err
	}
	return z.buildTables(lengths[:litlens], lengths[litlens:])
}

// readLengths reads the code lengths of both codes, which are one sequence: a
// repetition may reach from the first code into the second.
func (z *Reader) readLengths(lengths []uint8) error {
	for i := uint(0); i < uint(len(lengths)); {
		// The longest code and its extra bits are 14 bits long, but the
		// last one of a stream may be followed by less.
		if z.nbits < 14 {
			z.refill()
		}
		entry := z.precode[z.bits&(1<<precodeBits-1)]
		if entry&flagExceptional != 0 {
			return z.corrupt("bad code length")
		}
		n := uint(entry & 0xff)
		if z.nbits < n {
			return z.cutOff()
		}
		z.take(n)
		symbol := entry >> 16
		if symbol < repeatPrevious {
			lengths[i] = uint8(symbol)
			i++
			continue
		}
		var value uint8
		var extra, base uint
		switch symbol {
		case repeatPrevious:
			if i == 0 {
				return z.corrupt("repetition of no code length")
			}
			value, extra, base = lengths[i-1], 2, 3
		case repeatZeroShort:
			extra, base = 3, 3
		case repeatZeroLong:
			extra, base = 7, 11
		}
		if z.nbits < extra {
			return z.cutOff()
		}
		count := base + z.take(extra)
		if count > uint(len(lengths))-i {
			return z.corrupt("repetition past the last code length")
		}
		for range count {
			lengths[i] = value
			i++
		}
	}
	return nil
}

// buildTables builds the decoding tables from the code lengths.
func (z *Reader) buildTables(litlens, dists []uint8) error {
	if litlens[endOfBlock] == 0 {
		return z.corrupt("block cannot end")
	}
	if !buildTable(z.litlen[:], litlenBits, litlens, litlenEntries[:]) {
		return z.corrupt("bad literal and length code")
	}
	if !buildTable(z.distance[:], distBits, dists, distEntries[:]) {
		return z.corrupt("bad distance code")
	}
	return nil
}
