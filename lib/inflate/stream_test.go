package inflate_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/inflate"
)

// streamCase is a gzip stream. A wrong of "" is a good one, which means plain;
// else it is a part of the error's message.
type streamCase struct {
	name   string
	stream []byte
	plain  string
	wrong  string
}

// abc is a member of three bytes with the given header.
func abc(header string) []byte {
	w := new(bitWriter)
	w.stored(true, []byte("abc"))
	return append([]byte(header), member(w.out, []byte("abc"))[len(plainHeader):]...)
}

// headerWith returns a header with the flags and what belongs to them.
func headerWith(flags byte, fields string) string {
	return "\x1f\x8b\x08" + string([]byte{flags}) + "\x00\x00\x00\x00\x00\xff" + fields
}

// withChecksum appends the header checksum.
func withChecksum(header string) string {
	sum := crc32.ChecksumIEEE([]byte(header))
	return header + string([]byte{byte(sum), byte(sum >> 8)})
}

func streamCases() []streamCase {
	plain := abc(plainHeader)
	empty := member([]byte{3, 0}, nil)
	concat := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	zeros := func(n int) []byte { return make([]byte, n) }
	changed := func(at int) []byte {
		stream := bytes.Clone(plain)
		stream[at] ^= 0x40
		return stream
	}
	// A member that begins with a match, as if it could see the one before.
	w := new(bitWriter)
	b := w.fixed(true)
	b.litlen(257)
	b.distance(2)
	b.end()
	lookingBack := member(w.out, []byte("abc"))

	long := strings.Repeat("n", 1<<20)
	return []streamCase{
		{"nothing", nil, "", "cut off at byte 0"},
		{"not gzip", []byte("PK\x03\x04 and more bytes"), "", "no gzip member starts at byte 0"},
		{"only padding", zeros(64), "", "no gzip member starts at byte 0"},
		{"one member", plain, "abc", ""},
		{"an empty member", empty, "", ""},
		{"members", concat(plain, empty, plain, empty), "abcabc", ""},
		{"match into the member before", concat(plain, lookingBack), "abc", "before the start"},
		{"other method", abc("\x1f\x8b\x07\x00\x00\x00\x00\x00\x00\xff"), "", "unknown method 7"},

		{"text flag", abc(headerWith(1, "")), "abc", ""},
		{"extra", abc(headerWith(4, "\x05\x00extra")), "abc", ""},
		{"empty extra", abc(headerWith(4, "\x00\x00")), "abc", ""},
		{"name", abc(headerWith(8, "layer.tar\x00")), "abc", ""},
		{"comment", abc(headerWith(16, "by hand\x00")), "abc", ""},
		{"all fields", abc(withChecksum(headerWith(31, "\x02\x00xyname\x00comment\x00"))), "abc", ""},
		{"header checksum alone", abc(withChecksum(headerWith(2, ""))), "abc", ""},
		{"wrong header checksum", abc(headerWith(2, "\x00\x00")), "", "wrong header checksum"},
		{"reserved flag 5", abc(headerWith(0x20, "")), "", "reserved flags 0x20"},
		{"reserved flag 6", abc(headerWith(0x40, "")), "", "reserved flags 0x40"},
		{"reserved flag 7", abc(headerWith(0x80, "")), "", "reserved flags 0x80"},
		{"long name", abc(headerWith(8, long[1:]+"\x00")), "abc", ""},
		{"too long name", abc(headerWith(8, long+"\x00")), "", "name of more than"},
		{"too long comment", abc(headerWith(16, long+"\x00")), "", "comment of more than"},

		{"wrong checksum", changed(len(plain) - 8), "abc", "trailer at byte 18 has the checksum"},
		{"wrong length", changed(len(plain) - 4), "abc", "has the length"},
		{"length beyond 32 bits", changed(len(plain) - 1), "abc", "has the length"},
		{"second member cut", concat(plain, plain[:12]), "abc", "cut off at byte 38"},

		{"padding", concat(plain, zeros(1)), "abc", ""},
		{"much padding", concat(plain, zeros(3*inflate.InputSize+7)), "abc", ""},
		{"junk", concat(plain, []byte("junk")), "abc", "followed by other bytes, from byte 26"},
		{"junk after padding", concat(plain, zeros(1000), []byte{1}), "abc", "followed by other bytes, from byte 1026"},
		{"junk after much padding", concat(plain, zeros(inflate.InputSize), []byte{1}), "abc", "followed by other bytes, from byte 131098"},
		{"member after padding", concat(plain, zeros(10), plain), "abc", "followed by other bytes, from byte 36"},
		{"half a magic", concat(plain, []byte{0x1f}), "abc", "cut off at byte 27"},
		{"half a magic and junk", concat(plain, []byte("\x1fjunkjunkjunk")), "abc", "no gzip member starts at byte 26"},
	}
}

func TestStream(t *testing.T) {
	for _, c := range streamCases() {
		t.Run(c.name, func(t *testing.T) {
			got, err := decode(c.stream)
			if string(got) != c.plain {
				t.Errorf("got %d bytes, want %q", len(got), c.plain)
			}
			if c.wrong == "" && err != nil {
				t.Errorf("error %v", err)
			}
			if c.wrong != "" && (!errors.Is(err, fault.ErrRefused) || !strings.Contains(err.Error(), c.wrong)) {
				t.Errorf("error %v, want a refusal with %q", err, c.wrong)
			}
			if !hasLongText(c.stream) {
				agree(t, c.stream, rand.New(rand.NewPCG(5, 6)))
			}
		})
	}
}

// TestCutOff cuts good streams at every byte: it must never look whole, except
// between members.
func TestCutOff(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	deflated, plain := randomDeflate(rng, 4, 300)
	first := abc(withChecksum(headerWith(31, "\x02\x00xyname\x00comment\x00")))
	stream := append(bytes.Clone(first), member(deflated, plain)...)
	stream = append(stream, gzipOf(t, bytes.Repeat([]byte("text of a layer "), 99), 6)...)
	boundaries := map[int]bool{len(first): true, len(first) + len(member(deflated, plain)): true}
	z, err := inflate.NewReader(bytes.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	for n := range stream {
		err := z.Reset(bytes.NewReader(stream[:n]))
		if err == nil {
			_, err = collect(z)
		}
		if boundaries[n] {
			if err != nil {
				t.Fatalf("cut between members: %v", err)
			}
			continue
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) || !errors.Is(err, fault.ErrRefused) {
			t.Fatalf("cut at %d of %d: error %v", n, len(stream), err)
		}
	}
	agree(t, stream, rng)
}

// TestEncoders decodes what real encoders make of real text, in pieces.
func TestEncoders(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	plain := testText(rng, 1<<19)
	for level := gzip.HuffmanOnly; level <= gzip.BestCompression; level++ {
		agree(t, gzipOf(t, plain, level), rng)
	}

	var flushed bytes.Buffer
	w := gzip.NewWriter(&flushed)
	for rest := plain; len(rest) > 0; {
		n := min(len(rest), 1+rng.IntN(20000))
		if _, err := w.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	agree(t, flushed.Bytes(), rng)

	for _, args := range [][]string{{"gzip", "-1"}, {"gzip", "-9"}, {"gzip", "--rsyncable"}, {"pigz", "-9"}, {"pigz", "-11"}} {
		program, err := exec.LookPath(args[0])
		if err != nil {
			t.Logf("%s is not installed: apt-get install %s", args[0], args[0])
			continue
		}
		cmd := exec.Command(program, append(args[1:], "-c")...)
		cmd.Stdin = bytes.NewReader(plain)
		compressed, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		agree(t, compressed, rng)
	}
}

// testText returns text with matches of all lengths and distances in it.
func testText(rng *rand.Rand, size int) []byte {
	text := make([]byte, 0, size)
	for len(text) < size {
		if n := len(text); n > 0 && rng.IntN(3) > 0 {
			distance := 1 + rng.IntN(min(n, 1<<rng.IntN(17)))
			for range rng.IntN(1 << rng.IntN(10)) {
				text = append(text, text[len(text)-distance])
			}
			continue
		}
		for range rng.IntN(40) {
			text = append(text, byte('a'+rng.IntN(1<<rng.IntN(6))))
		}
	}
	return text[:size]
}

// TestBlockBoundaries lets the plain data, matches included, end around the
// places where output is handed out and the window moves.
func TestBlockBoundaries(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	step := 32
	if testing.Short() {
		step = 200
	}
	for _, around := range []int{inflate.OutputLimit, 2*inflate.OutputLimit - inflate.WindowSize} {
		for d := -260; d <= 330; d += 1 + rng.IntN(step) {
			plain := testText(rng, around+d)
			got, err := decode(gzipOf(t, plain, 1+rng.IntN(9)))
			if err != nil || !bytes.Equal(got, plain) {
				t.Fatalf("%d bytes: wrong bytes or error %v", around+d, err)
			}
		}
	}
	// Matches of the greatest distance across a move of the window.
	w := new(bitWriter)
	noise := make([]byte, 1<<15)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	w.stored(false, noise)
	plain := bytes.Clone(noise)
	b := w.fixed(true)
	for range 8000 {
		b.litlen(285)
		b.distance(29)
		b.bits(1<<13-1, 13)
		plain = append(plain, plain[len(plain)-1<<15:][:258]...)
	}
	b.end()
	agree(t, member(w.out, plain), rng)
	got, err := decode(member(w.out, plain))
	if err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("far matches: wrong bytes or error %v", err)
	}
}

// TestManyEmptyMembers is CVE-2022-30631: a decoder that calls itself for each
// member runs out of stack.
func TestManyEmptyMembers(t *testing.T) {
	stream := bytes.Repeat(member([]byte{3, 0}, nil), 1_000_000)
	stream = append(stream, abc(plainHeader)...)
	if got, err := decode(stream); err != nil || string(got) != "abc" {
		t.Fatalf("got %q, error %v", got, err)
	}
}

// TestManyEmptyBlocks is the same for blocks.
func TestManyEmptyBlocks(t *testing.T) {
	deflated := bytes.Repeat([]byte{0, 0, 0, 0xff, 0xff}, 1_000_000)
	deflated = append(deflated, 3, 0)
	if got, err := decode(member(deflated, nil)); err != nil || len(got) != 0 {
		t.Fatalf("got %d bytes, error %v", len(got), err)
	}
}

// TestLengthModulo decodes a member of more than 4 GiB: its length field has
// the low 32 bits.
func TestLengthModulo(t *testing.T) {
	if testing.Short() {
		t.Skip("decodes 4 GiB")
	}
	// One fixed block of matches of zeros, which repeats after 13 bits * 8.
	const matches = (1<<32)/258 + 9
	w := new(bitWriter)
	b := w.fixed(true)
	b.litlen(0)
	for range matches {
		b.litlen(285)
		b.distance(0)
	}
	b.end()
	size := int64(matches)*258 + 1
	sum := crc32.NewIEEE()
	zeros := make([]byte, 1<<20)
	for left := size; left > 0; left -= int64(len(zeros)) {
		_, _ = sum.Write(zeros[:min(left, int64(len(zeros)))])
	}
	stream := append([]byte(plainHeader), w.out...)
	stream = binary.LittleEndian.AppendUint32(stream, sum.Sum32())
	stream = binary.LittleEndian.AppendUint32(stream, uint32(size&(1<<32-1)))
	z, err := inflate.NewReader(bytes.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := z.WriteTo(io.Discard); err != nil || n != size {
		t.Fatalf("%d bytes, want %d; error %v", n, size, err)
	}
}

var errBroken = errors.New("the disk is broken")

// TestSourceFails: the failure of the source must come out as it is, wherever
// it strikes, and be no refusal.
func TestSourceFails(t *testing.T) {
	stream := gzipOf(t, testText(rand.New(rand.NewPCG(1, 3)), 5000), 6)
	for n := range len(stream) + 1 {
		for _, source := range []io.Reader{
			io.MultiReader(bytes.NewReader(stream[:n]), iotest.ErrReader(errBroken)),
			iotest.DataErrReader(io.MultiReader(bytes.NewReader(stream[:n]), iotest.ErrReader(errBroken))),
		} {
			z, err := inflate.NewReader(source)
			if err == nil {
				_, err = collect(z)
			}
			if !errors.Is(err, errBroken) || errors.Is(err, fault.ErrRefused) {
				t.Fatalf("broken after %d bytes: error %v", n, err)
			}
		}
	}
}

// TestSourceRefusesAtEnd: a source that verifies a digest may refuse at its end
// instead of io.EOF. That must come out, after the data.
func TestSourceRefusesAtEnd(t *testing.T) {
	stream := gzipOf(t, []byte("data"), 6)
	refusal := fault.Refused("digest does not match")
	z, err := inflate.NewReader(io.MultiReader(bytes.NewReader(stream), iotest.ErrReader(refusal)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := collect(z)
	if string(got) != "data" || !errors.Is(err, refusal) {
		t.Fatalf("got %q, error %v", got, err)
	}
}

func TestSourceStalls(t *testing.T) {
	if _, err := inflate.NewReader(stalled{}); !errors.Is(err, io.ErrNoProgress) {
		t.Fatalf("error %v", err)
	}
}

type stalled struct{}

func (stalled) Read([]byte) (int, error) { return 0, nil }

// TestErrorStays: once failed or ended, a Reader stays so.
func TestErrorStays(t *testing.T) {
	stream := abc(plainHeader)
	stream[len(stream)-1] ^= 1
	z, err := inflate.NewReader(bytes.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	_, first := collect(z)
	if first == nil {
		t.Fatal("a wrong length was accepted")
	}
	for range 3 {
		if _, err := z.Next(); !errors.Is(err, first) {
			t.Fatalf("then error %v, first %v", err, first)
		}
		if n, err := z.Read(make([]byte, 9)); n != 0 || !errors.Is(err, first) {
			t.Fatalf("then %d bytes and error %v, first %v", n, err, first)
		}
	}
}

// TestReset decodes after failures and good streams with one Reader, and
// without memory of its own.
func TestReset(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	z, err := inflate.NewReader(bytes.NewReader(abc(plainHeader)))
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		plain := testText(rng, rng.IntN(1<<rng.IntN(21)))
		compressed := gzipOf(t, plain, rng.IntN(10))
		if rng.IntN(2) == 0 {
			if err := z.Reset(bytes.NewReader(mutate(rng, compressed))); err == nil {
				_, _ = collect(z)
			}
		}
		if err := z.Reset(bytes.NewReader(compressed)); err != nil {
			t.Fatal(err)
		}
		got, err := collect(z)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("wrong bytes or error %v", err)
		}
	}

	compressed := gzipOf(t, testText(rng, 1<<20), 6)
	source := bytes.NewReader(compressed)
	allocs := testing.AllocsPerRun(5, func() {
		source.Reset(compressed)
		if err := z.Reset(source); err != nil {
			t.Error(err)
		}
		if _, err := z.WriteTo(io.Discard); err != nil {
			t.Error(err)
		}
	})
	if allocs > 0 {
		t.Errorf("%v allocations per stream, want none", allocs)
	}
}

// TestReadAndNext mixes the ways to read.
func TestReadAndNext(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 16))
	plain := testText(rng, 3<<20)
	compressed := gzipOf(t, plain, 6)
	for range 5 {
		got, err := decodeOddly(compressed, rng)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("wrong bytes or error %v", err)
		}
	}
	z, err := inflate.NewReader(bytes.NewReader(compressed))
	if err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 512)
	if _, err := io.ReadFull(z, head); err != nil {
		t.Fatal(err)
	}
	var rest bytes.Buffer
	if _, err := z.WriteTo(&rest); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(append(head, rest.Bytes()...), plain) {
		t.Fatal("wrong bytes")
	}
}

func TestWriteToFails(t *testing.T) {
	z, err := inflate.NewReader(bytes.NewReader(abc(plainHeader)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.WriteTo(brokenWriter{}); !errors.Is(err, errBroken) {
		t.Fatalf("error %v", err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }
