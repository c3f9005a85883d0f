package inflate_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// deflateCase is deflate data that a decoder may get wrong. A wrong of "" is
// good data, which means plain; else it is a part of the error's message.
type deflateCase struct {
	name     string
	deflated []byte
	plain    string
	wrong    string
}

// flat returns count code lengths, length l for the first used symbols and
// for symbol must.
func flat(count, used int, l uint8, must int) []uint8 {
	lengths := make([]uint8, count)
	for i := range used {
		lengths[i] = l
	}
	if must >= 0 {
		lengths[must] = l
	}
	return lengths
}

func deflateCases() []deflateCase {
	var cases []deflateCase
	add := func(name, plain, wrong string, write func(w *bitWriter)) {
		w := new(bitWriter)
		write(w)
		cases = append(cases, deflateCase{name, w.out, plain, wrong})
	}

	add("empty fixed block", "", "", func(w *bitWriter) { w.fixed(true).end() })
	add("empty stored blocks", "", "", func(w *bitWriter) {
		for range 5 {
			w.stored(false, nil)
		}
		w.stored(true, nil)
	})
	add("stored blocks between fixed ones", "abcd", "", func(w *bitWriter) {
		b := w.fixed(false)
		b.litlen('a')
		b.end()
		w.stored(false, []byte("b"))
		w.stored(false, nil)
		b = w.fixed(false)
		b.litlen('c')
		b.end()
		w.stored(true, []byte("d"))
	})
	add("stored block with the wrong complement", "", "complement", func(w *bitWriter) {
		w.header(true, 0)
		w.align()
		w.bits(0x10010, 32)
	})
	add("reserved block type", "", "reserved block type", func(w *bitWriter) { w.header(true, 3) })
	for _, symbol := range []int{286, 287} {
		add("fixed code with length symbol "+string(rune('0'+symbol%10)), "", "bad literal or length", func(w *bitWriter) {
			b := w.fixed(true)
			b.litlen('a')
			b.litlen(symbol)
			b.distance(0)
			b.end()
		})
	}
	for _, symbol := range []int{30, 31} {
		add("fixed code with distance symbol "+string(rune('0'+symbol%10)), "", "bad distance", func(w *bitWriter) {
			b := w.fixed(true)
			b.litlen('a')
			b.litlen(257)
			b.distance(symbol)
			b.end()
		})
	}
	for _, litlens := range []uint64{287, 288} {
		add("too many length symbols", "", "too many literal", func(w *bitWriter) {
			w.header(true, 2)
			w.dynamicHeader(litlens, 1)
		})
	}
	for _, dists := range []uint64{31, 32} {
		add("too many distance symbols", "", "too many distance", func(w *bitWriter) {
			w.header(true, 2)
			w.dynamicHeader(257, dists)
		})
	}

	eight := flat(257, 255, 8, 256)
	add("flat code", "a", "", func(w *bitWriter) {
		b := w.dynamic(true, eight, []uint8{0})
		b.litlen('a')
		b.end()
	})
	add("over-subscribed literal code", "", "bad literal and length code", func(w *bitWriter) {
		w.dynamic(true, flat(257, 256, 8, 256), []uint8{0})
	})
	add("incomplete literal code", "", "bad literal and length code", func(w *bitWriter) {
		w.dynamic(true, flat(257, 254, 8, 256), []uint8{0})
	})
	add("no end of block", "", "cannot end", func(w *bitWriter) {
		w.dynamic(true, flat(257, 256, 8, -1), []uint8{0})
	})
	add("nothing but the end of block", "", "", func(w *bitWriter) {
		w.dynamic(true, flat(257, 0, 1, 256), []uint8{0}).end()
	})
	add("nothing but the end of block, the unused code", "", "bad literal or length", func(w *bitWriter) {
		w.dynamic(true, flat(257, 0, 1, 256), []uint8{0})
		w.bits(1, 1)
	})
	add("nothing but the end of block, two bits long", "", "bad literal and length code", func(w *bitWriter) {
		w.dynamic(true, flat(257, 0, 2, 256), []uint8{0})
	})

	withLength := flat(258, 254, 8, 256)
	withLength[257] = 8
	add("one distance code", "aaaa", "", func(w *bitWriter) {
		b := w.dynamic(true, withLength, []uint8{1})
		b.litlen('a')
		b.litlen(257)
		b.distance(0)
		b.end()
	})
	add("one distance code, the unused code", "", "bad distance code", func(w *bitWriter) {
		b := w.dynamic(true, withLength, []uint8{1})
		b.litlen('a')
		b.litlen(257)
		b.bits(1, 1)
		b.end()
	})
	add("one distance code of two bits", "", "bad distance code", func(w *bitWriter) {
		w.dynamic(true, withLength, []uint8{2})
	})
	add("no distance code, none used", "a", "", func(w *bitWriter) {
		b := w.dynamic(true, withLength, []uint8{0})
		b.litlen('a')
		b.end()
	})
	add("no distance code, one used", "", "bad distance code", func(w *bitWriter) {
		b := w.dynamic(true, withLength, []uint8{0})
		b.litlen('a')
		b.litlen(257)
		b.bits(0, 8)
		b.end()
	})
	add("over-subscribed distance code", "", "bad distance code", func(w *bitWriter) {
		w.dynamic(true, eight, []uint8{1, 1, 1})
	})
	add("incomplete distance code", "", "bad distance code", func(w *bitWriter) {
		w.dynamic(true, eight, []uint8{2, 2, 2})
	})
	longest := make([]uint8, 286)
	for i := range longest[:14] {
		longest[i] = uint8(i + 1)
	}
	longest[256], longest[285] = 15, 15
	add("longest codes", "\x0d\x0d\x0d\x0d", "", func(w *bitWriter) {
		b := w.dynamic(true, longest, []uint8{0})
		for range 4 {
			b.litlen(13)
		}
		b.end()
	})

	add("repetition of no length", "", "repetition of no", func(w *bitWriter) {
		w.header(true, 2)
		w.dynamicHeader(257, 1)
		w.lengthSymbol(16)
		w.bits(0, 2)
	})
	for _, repeat := range []struct {
		symbol uint8
		extra  uint
	}{{16, 2}, {17, 3}, {18, 7}} {
		add("repetition past the end", "", "past the last", func(w *bitWriter) {
			w.header(true, 2)
			w.dynamicHeader(257, 2)
			for range 257 {
				w.lengthSymbol(8)
			}
			w.lengthSymbol(repeat.symbol)
			w.bits(0, repeat.extra)
		})
	}
	add("repetition across both codes", "a", "", func(w *bitWriter) {
		// The zeros of the last length symbol and of all distances are one
		// repetition.
		lengths := append(bytes.Clone(eight), 0)
		w.header(true, 2)
		w.dynamicHeader(258, 3)
		for _, l := range eight {
			w.lengthSymbol(l)
		}
		w.lengthSymbol(17)
		w.bits(1, 3)
		b := blockWriter{w, lengths, nil, canonical(lengths), nil}
		b.litlen('a')
		b.end()
	})
	add("over-subscribed code length code", "", "code for code lengths", func(w *bitWriter) {
		w.header(true, 2)
		w.bits(0, 10)
		w.bits(15, 4)
		for range 19 {
			w.bits(3, 3)
		}
	})
	add("empty code length code", "", "bad code length", func(w *bitWriter) {
		w.header(true, 2)
		w.bits(0, 14)
		w.bits(0, 12)
		w.bits(0, 32)
	})

	add("match before the start", "", "before the start", func(w *bitWriter) {
		b := w.fixed(true)
		b.litlen('a')
		b.litlen(257)
		b.distance(1)
		b.end()
	})
	add("match at the very start", "", "before the start", func(w *bitWriter) {
		b := w.fixed(true)
		b.litlen(257)
		b.distance(0)
		b.end()
	})
	for distance := range 20 {
		text := "0123456789abcdefghij"[:distance+1]
		add("overlapping match", text+strings.Repeat(text, 300)[:258]+"!", "", func(w *bitWriter) {
			b := w.fixed(true)
			for _, c := range text {
				b.litlen(int(c))
			}
			b.litlen(285)
			symbol := 0
			for {
				base, extra := distanceOf(symbol)
				if over := uint(distance) + 1 - base; over < 1<<extra {
					b.distance(symbol)
					b.bits(uint64(over), extra)
					break
				}
				symbol++
			}
			b.litlen('!')
			b.end()
		})
	}
	return cases
}

func TestDeflate(t *testing.T) {
	for _, c := range deflateCases() {
		t.Run(c.name, func(t *testing.T) {
			// Behind a long tail of input the fast loop does the work, at
			// the end of the input the careful one.
			for _, tail := range []string{"", strings.Repeat("\x00", 400)} {
				got, err := decode(append(member(c.deflated, []byte(c.plain)), tail...))
				if c.wrong != "" {
					if !errors.Is(err, fault.ErrRefused) || !strings.Contains(err.Error(), c.wrong) {
						t.Fatalf("error %v, want a refusal with %q", err, c.wrong)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if string(got) != c.plain {
					t.Fatalf("got %q, want %q", got, c.plain)
				}
			}
			agreeDeflate(t, c.deflated, rand.New(rand.NewPCG(1, 1)))
		})
	}
}

// TestRandomCodes decodes blocks of random codes: long, flat, and lopsided
// ones, as no encoder makes them.
func TestRandomCodes(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	rounds := 400
	if testing.Short() {
		rounds = 40
	}
	for round := range rounds {
		deflated, plain := randomDeflate(rng, 1+rng.IntN(4), rng.IntN(1<<rng.IntN(16)))
		compressed := member(deflated, plain)
		got, err := decode(compressed)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if !bytes.Equal(got, plain) {
			t.Fatalf("round %d: wrong bytes", round)
		}
		agree(t, compressed, rng)
		agreeDeflate(t, mutate(rng, deflated), rng)
	}
}

// mutate returns data with a few bytes changed, or a part cut out.
func mutate(rng *rand.Rand, data []byte) []byte {
	data = bytes.Clone(data)
	for range 1 + rng.IntN(3) {
		i := rng.IntN(len(data))
		if rng.IntN(4) == 0 {
			data = append(data[:i], data[min(len(data), i+rng.IntN(9)):]...)
		} else {
			data[i] ^= 1 << rng.IntN(8)
		}
		if len(data) == 0 {
			return data
		}
	}
	return data
}
