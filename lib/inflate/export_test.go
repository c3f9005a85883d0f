package inflate

// OutputLimit is where a block of plain bytes ends.
const (
	OutputLimit = outputLimit
	WindowSize  = windowSize
	InputSize   = inputSize
)

// InTrailer says whether z has come to the end of a member's data.
func InTrailer(z *Reader) bool { return z.state == stateTrailer || z.state == stateNextMember }
