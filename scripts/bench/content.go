package main

import (
	"math/rand/v2"
	"strings"
)

// source makes file contents and names from a seed: the same bytes on every
// machine, with about the compressibility of a Linux distribution (gzip makes
// a third of it).
type source struct {
	rng   *rand.Rand
	words []string
}

func newSource(seed uint64) *source {
	s := &source{rng: rand.New(rand.NewPCG(seed, 0x6f6369))}
	const letters = "etaoinshrdlucmfwypvbgkqjxz"
	for range 3000 {
		var b strings.Builder
		for range 2 + s.skewed(7) {
			b.WriteByte(letters[s.skewed(len(letters))])
		}
		s.words = append(s.words, b.String())
	}
	return s
}

// skewed returns a number below n, small ones more often.
func (s *source) skewed(n int) int {
	f := s.rng.Float64()
	return int(f * f * f * float64(n))
}

// word is a name component or a word of text.
func (s *source) word() string { return s.words[s.skewed(len(s.words))] }

// fill returns size bytes: text, machine code, or noise.
func (s *source) fill(size int) []byte {
	out := make([]byte, 0, size+64)
	kind := s.rng.IntN(10)
	for len(out) < size {
		switch {
		case kind < 6:
			out = append(out, s.word()...)
			out = append(out, " \n\t;(="[s.skewed(6)])
		case kind < 9 || s.rng.IntN(4) > 0:
			out = s.code(out)
		default:
			out = append(out, byte(s.rng.Uint32()))
		}
	}
	return out[:size]
}

// code appends something with the statistics of machine code: a few opcodes,
// small operands, addresses that share their upper bytes, and repetitions.
func (s *source) code(out []byte) []byte {
	out = append(out, byte(0x40+s.skewed(16)), byte(0x80+s.skewed(16)), byte(s.skewed(64)))
	if s.rng.IntN(4) == 0 {
		out = append(out, byte(s.rng.Uint32()), byte(s.skewed(128)), 0, 0)
	}
	if n := len(out); n > 4000 && s.rng.IntN(5) < 3 {
		back := 40 + s.rng.IntN(3900)
		out = append(out, out[n-back:n-back+min(back, 8+s.rng.IntN(40))]...)
	}
	return out
}
