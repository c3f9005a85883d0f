package changeset

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// sample is data that compresses, of a size about the block boundaries.
func sample(n int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	data := make([]byte, n)
	for i := range data {
		data[i] = "abcdefgh "[r.IntN(9)]
	}
	return data
}

// unpack reads with the standard library, which shares no code with the writer.
func unpackWith(t *testing.T, c Compression, packed []byte) []byte {
	t.Helper()
	var in io.Reader = bytes.NewReader(packed)
	switch c {
	case Gzip:
		z, err := gzip.NewReader(in)
		must(t, err)
		z.Multistream(false)
		in = z
		if !z.ModTime.IsZero() || z.Name != "" {
			t.Errorf("the gzip header has a time or a name: %+v", z.Header)
		}
	case Zstd:
		z, err := zstd.NewReader(in)
		must(t, err)
		defer z.Close()
		in = z
	}
	data, err := io.ReadAll(in)
	must(t, err)
	return data
}

func TestEncodingsRoundTrip(t *testing.T) {
	for _, c := range []Compression{Gzip, Zstd, Plain} {
		for _, n := range []int{0, 1, gzipBlock - 1, gzipBlock, gzipBlock + 1, 3*gzipBlock + 17} {
			data := sample(n)
			var first []byte
			// Neither the sizes of the writes nor the cores may show.
			for _, procs := range []int{1, 4} {
				old := runtime.GOMAXPROCS(procs)
				var out bytes.Buffer
				id, size, err := Encoding{Compression: c}.Encode(t.Context(), &out, func(w io.Writer) error {
					_, err := io.CopyBuffer(struct{ io.Writer }{w}, bytes.NewReader(data), make([]byte, 1000*procs))
					return err
				})
				runtime.GOMAXPROCS(old)
				must(t, err)
				if want := fmt.Sprintf("sha256:%x", sha256.Sum256(data)); id.String() != want || size != int64(n) {
					t.Errorf("Encode(%s, %d bytes) = %s, %d, want %s, %d", c, n, id, size, want, n)
				}
				if first == nil {
					first = out.Bytes()
				} else if !bytes.Equal(first, out.Bytes()) {
					t.Errorf("Encode(%s, %d bytes) differs with the number of cores", c, n)
				}
			}
			if !bytes.Equal(unpackWith(t, c, first), data) {
				t.Errorf("Encode(%s, %d bytes) does not unpack to its input", c, n)
			}
		}
	}
}

type failingWriter struct{ after int }

func (f *failingWriter) Write(p []byte) (int, error) {
	if f.after -= len(p); f.after < 0 {
		return 0, errors.New("disk full")
	}
	return len(p), nil
}

// TestEncodeToAFullDisk must neither hang nor succeed.
func TestEncodeToAFullDisk(t *testing.T) {
	data := make([]byte, 8<<20)
	rand.NewChaCha8([32]byte{}).Read(data)
	for _, c := range []Compression{Gzip, Zstd, Plain} {
		for _, room := range []int{0, 5, 100_000, 3 << 20} {
			_, _, err := Encoding{Compression: c}.Encode(t.Context(), &failingWriter{room}, func(w io.Writer) error {
				_, err := w.Write(data)
				return err
			})
			if err == nil || !strings.Contains(err.Error(), "disk full") {
				t.Errorf("Encode(%s) with room for %d bytes = %v, want the writer's error", c, room, err)
			}
		}
	}
}

func TestEncodingCheck(t *testing.T) {
	for _, tc := range []struct {
		e  Encoding
		ok bool
	}{
		{Encoding{Gzip, 0}, true},
		{Encoding{Gzip, 9}, true},
		{Encoding{Gzip, 10}, false},
		{Encoding{Gzip, -1}, false},
		{Encoding{Zstd, 22}, true},
		{Encoding{Zstd, 23}, false},
		{Encoding{Plain, 0}, true},
		{Encoding{Plain, 1}, false},
	} {
		if err := tc.e.Check(); (err == nil) != tc.ok || err != nil && !errors.Is(err, fault.ErrUsage) {
			t.Errorf("Check(%v) = %v, want ok %v", tc.e, err, tc.ok)
		}
	}
}

func TestMediaTypes(t *testing.T) {
	for _, c := range []Compression{Gzip, Zstd, Plain} {
		for _, docker := range []bool{false, true} {
			mediaType := c.MediaType(docker)
			if got := CompressionOf(mediaType); got != c || strings.Contains(mediaType, "docker") != docker {
				t.Errorf("CompressionOf(%q) = %s, want %s", mediaType, got, c)
			}
		}
	}
}

func TestCopyTarRefuses(t *testing.T) {
	archive := func(hdr tar.Header) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		must(t, w.WriteHeader(&hdr))
		must(t, w.Close())
		return b.Bytes()
	}
	for name, tc := range map[string]struct {
		in   []byte
		want string
	}{
		"text":              {[]byte(strings.Repeat("no archive ", 100)), "invalid tar header"},
		"nothing":           {nil, "empty"},
		"cut off":           {archive(tar.Header{Name: "f", Typeflag: tar.TypeReg})[:300], "unexpected EOF"},
		"empty whiteout":    {archive(tar.Header{Name: "etc/.wh.", Typeflag: tar.TypeReg}), "whiteout names no file"},
		"whiteout of dot":   {archive(tar.Header{Name: ".wh..", Typeflag: tar.TypeReg}), "whiteout names no file"},
		"whiteout of above": {archive(tar.Header{Name: "a/.wh...", Typeflag: tar.TypeReg}), "whiteout names no file"},
		"root is a link":    {archive(tar.Header{Name: "a/..", Typeflag: tar.TypeSymlink, Linkname: "/"}), "root can only be a directory"},
		"long component":    {archive(tar.Header{Name: strings.Repeat("n", 256), Typeflag: tar.TypeReg}), "longer than 255"},
		"owner":             {archive(tar.Header{Name: "f", Typeflag: tar.TypeReg, Uid: 1<<32 - 1}), "owner"},
		"device":            {archive(tar.Header{Name: "d", Typeflag: tar.TypeChar, Devmajor: 5000}), "device number"},
		"type flag":         {archive(tar.Header{Name: "d", Typeflag: 'Z'}), "unknown type flag"},
		"bad gzip":          {[]byte{0x1f, 0x8b, 9, 9, 9, 9, 9, 9, 9, 9, 9}, "archive"},
	} {
		err := CopyTar(context.Background(), io.Discard, bytes.NewReader(tc.in))
		if !errors.Is(err, fault.ErrRefused) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: CopyTar = %v, want a refusal with %q", name, err, tc.want)
		}
	}
}

// TestCopyTarKeepsEveryByte: padding behind the end belongs to the layer.
func TestCopyTarKeepsEveryByte(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	must(t, w.WriteHeader(&tar.Header{Name: "f", Typeflag: tar.TypeReg, Size: 3, Mode: 0o644}))
	_, err := w.Write([]byte("abc"))
	must(t, errors.Join(err, w.Close()))
	plain := append(b.Bytes(), make([]byte, 10_240)...)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, err = z.Write(plain)
	must(t, errors.Join(err, z.Close()))
	for name, in := range map[string][]byte{"plain": plain, "gzip": zipped.Bytes()} {
		var out bytes.Buffer
		must(t, CopyTar(t.Context(), &out, bytes.NewReader(in)))
		if !bytes.Equal(out.Bytes(), plain) {
			t.Errorf("%s: CopyTar changed the archive", name)
		}
	}
}
