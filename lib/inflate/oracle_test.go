package inflate_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/inflate"
)

// decode decodes compressed with Next.
func decode(compressed []byte) ([]byte, error) {
	z, err := inflate.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, err
	}
	return collect(z)
}

func collect(z *inflate.Reader) ([]byte, error) {
	var plain []byte
	for {
		block, err := z.Next()
		if errors.Is(err, io.EOF) {
			return plain, nil
		}
		if err != nil {
			return plain, err
		}
		plain = append(plain, block...)
	}
}

// decodeOddly decodes compressed with input and output in pieces of random
// sizes.
func decodeOddly(compressed []byte, rng *rand.Rand) ([]byte, error) {
	var source io.Reader = &randomPieces{bytes.NewReader(compressed), rng}
	switch rng.IntN(4) {
	case 0:
		source = iotest.OneByteReader(source)
	case 1:
		source = iotest.DataErrReader(source)
	}
	z, err := inflate.NewReader(source)
	if err != nil {
		return nil, err
	}
	var plain []byte
	for {
		if rng.IntN(8) == 0 {
			block, err := z.Next()
			plain = append(plain, block...)
			if errors.Is(err, io.EOF) {
				return plain, nil
			}
			if err != nil {
				return plain, err
			}
			continue
		}
		piece := make([]byte, 1+rng.IntN(1<<rng.IntN(20)))
		n, err := z.Read(piece)
		plain = append(plain, piece[:n]...)
		if errors.Is(err, io.EOF) {
			return plain, nil
		}
		if err != nil {
			return plain, err
		}
	}
}

// randomPieces returns less than it was asked for.
type randomPieces struct {
	r   io.Reader
	rng *rand.Rand
}

func (r *randomPieces) Read(p []byte) (int, error) {
	return r.r.Read(p[:min(len(p), r.rng.IntN(1<<r.rng.IntN(18)))])
}

// oracle is compress/gzip with this package's policy on what is around the
// data: NUL padding at the end is good, a reserved flag is not.
func oracle(compressed []byte) ([]byte, error) {
	rest := bytes.NewReader(compressed)
	var plain []byte
	for first := true; ; first = false {
		remaining := compressed[len(compressed)-rest.Len():]
		if !first && len(bytes.TrimLeft(remaining, "\x00")) == 0 {
			return plain, nil
		}
		if len(remaining) > 3 && remaining[3]&0xe0 != 0 {
			return plain, gzip.ErrHeader
		}
		z, err := gzip.NewReader(rest)
		if err != nil {
			return plain, err
		}
		z.Multistream(false)
		part, err := io.ReadAll(z)
		plain = append(plain, part...)
		if err != nil {
			return plain, err
		}
	}
}

// agree fails the test unless compressed is decoded as the oracle has it.
func agree(t *testing.T, compressed []byte, rng *rand.Rand) {
	t.Helper()
	want, wantErr := oracle(compressed)
	// Padding is policy, and makes the fast loop decode the very end. It may
	// change what is wrong with a stream, so bad ones go without.
	padded := compressed
	if wantErr == nil {
		padded = append(bytes.Clone(compressed), make([]byte, 64)...)
	}
	for _, way := range []struct {
		name   string
		decode func() ([]byte, error)
	}{
		{"whole", func() ([]byte, error) { return decode(compressed) }},
		{"pieces", func() ([]byte, error) { return decodeOddly(compressed, rng) }},
		{"padded", func() ([]byte, error) { return decode(padded) }},
	} {
		got, err := way.decode()
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%s: error %v, the oracle's %v", way.name, err, wantErr)
		}
		if err != nil && !errors.Is(err, fault.ErrRefused) {
			t.Fatalf("%s: error %v is not a refusal", way.name, err)
		}
		// Which bytes precede an error is open, but not what they are.
		n := min(len(got), len(want))
		if !bytes.Equal(got[:n], want[:n]) || err == nil && len(got) != len(want) {
			t.Fatalf("%s: %d bytes differ from the oracle's %d", way.name, len(got), len(want))
		}
	}
}
