package inflate_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/inflate"
)

// FuzzReader compares whole gzip streams with compress/gzip.
func FuzzReader(f *testing.F) {
	text := bytes.Repeat([]byte("a layer is a tar of what changed; "), 40)
	for level := gzip.HuffmanOnly; level <= gzip.BestCompression; level++ {
		f.Add(gzipOf(f, text, level), uint64(level+2))
	}
	for _, c := range streamCases() {
		if len(c.stream) < 1<<12 {
			f.Add(c.stream, uint64(1))
		}
	}
	f.Fuzz(func(t *testing.T, compressed []byte, seed uint64) {
		if hasLongText(compressed) {
			t.Skip("compress/gzip refuses header text of 512 bytes")
		}
		agree(t, compressed, rand.New(rand.NewPCG(seed, 0)))
	})
}

// hasLongText guesses whether the first header has a name or comment longer
// than compress/gzip allows.
func hasLongText(compressed []byte) bool {
	_, err := gzip.NewReader(bytes.NewReader(compressed))
	return errors.Is(err, gzip.ErrHeader) && len(compressed) > 512 && compressed[3]&0x18 != 0
}

// FuzzDeflate compares deflate data with compress/flate. It puts the right
// trailer behind the data, which mutation cannot find.
func FuzzDeflate(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 8 {
		deflated, _ := randomDeflate(rng, 1+rng.IntN(3), 200)
		f.Add(deflated, rng.Uint64())
	}
	for _, c := range deflateCases() {
		f.Add(c.deflated, uint64(1))
	}
	f.Fuzz(func(t *testing.T, deflated []byte, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 0))
		agreeDeflate(t, deflated, rng)
		// With more input behind them the fast loop decodes short data too.
		agreeDeflate(t, append(bytes.Clone(deflated), make([]byte, 64)...), rng)
	})
}

func agreeDeflate(t *testing.T, deflated []byte, rng *rand.Rand) {
	t.Helper()
	rest := bytes.NewReader(deflated)
	plain, err := io.ReadAll(flate.NewReader(rest))
	if err == nil {
		agree(t, member(deflated[:len(deflated)-rest.Len()], plain), rng)
		return
	}
	// No trailer is right for bad data: so see that it is not reached.
	z, err := inflate.NewReader(bytes.NewReader(append([]byte(plainHeader), deflated...)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := collect(z)
	if !errors.Is(err, fault.ErrRefused) || inflate.InTrailer(z) {
		t.Fatalf("data that compress/flate refuses ended with the error %v, in the trailer: %v", err, inflate.InTrailer(z))
	}
	if n := min(len(got), len(plain)); !bytes.Equal(got[:n], plain[:n]) {
		t.Fatal("the bytes before the error differ")
	}
}
