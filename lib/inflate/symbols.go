package inflate

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

// decodeCareful decodes the symbols near the end of the input. It takes no bit
// that is not there.
func (z *Reader) decodeCareful() outcome {
	for z.pos < outputLimit {
		// A length and a distance are 48 bits at most, so one refill is
		// enough for both: what is missing then will not come.
		z.refill()
		entry := z.litlen[z.bits&(1<<litlenBits-1)]
		if entry&flagSubtable != 0 {
			if z.nbits < litlenBits {
				return outcomeCutOff
			}
			z.take(litlenBits)
			entry = z.litlen[subtableIndex(entry, z.bits)&(litlenTableSize-1)]
		}
		if z.nbits < entryBits(entry) {
			return outcomeCutOff
		}
		switch {
		case entry&flagLiteral != 0:
			z.take(entryBits(entry))
			z.output[z.pos] = byte(entry >> 16)
			z.pos++
			continue
		case entry&flagEndOfBlock != 0:
			z.take(entryBits(entry))
			return outcomeEndOfBlock
		case entry&flagExceptional != 0:
			return outcomeBadSymbol
		}
		length := entryValue(entry, z.bits)
		z.take(entryBits(entry))

		entry = z.distance[z.bits&(1<<distBits-1)]
		if entry&flagSubtable != 0 {
			if z.nbits < distBits {
				return outcomeCutOff
			}
			z.take(distBits)
			entry = z.distance[subtableIndex(entry, z.bits)&(distTableSize-1)]
		}
		if entry&flagExceptional != 0 {
			return outcomeBadDistance
		}
		if z.nbits < entryBits(entry) {
			return outcomeCutOff
		}
		distance := entryValue(entry, z.bits)
		z.take(entryBits(entry))
		if distance > z.pos-z.memberStart {
			return outcomeTooFar
		}
		for range length {
			z.output[z.pos] = z.output[z.pos-distance]
			z.pos++
		}
	}
	return outcomeShort
}

// entryBits is how many bits an entry consumes.
func entryBits(entry uint32) uint { return uint(entry & 63) }

// entryValue is the length or distance of an entry, whose code and extra bits
// are the lowest of bits.
func entryValue(entry uint32, bits uint64) uint {
	return uint(entry>>16) + uint(bits&(1<<(entry&63)-1)>>(entry>>8&63))
}

// subtableIndex is where a subtable's entry for the next bits is in the table.
func subtableIndex(entry uint32, bits uint64) uint {
	return uint(entry>>16) + uint(bits&(1<<(entry>>8&15)-1))
}
