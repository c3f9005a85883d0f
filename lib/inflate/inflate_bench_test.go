package inflate_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	kgzip "github.com/klauspost/compress/gzip"

	"github.com/oci-plumbing/oci-plumbing/lib/inflate"
)

// benchmarkSize is how much tar a benchmark unpacks per round.
const benchmarkSize = 64 << 20

// BenchmarkReader compares the decoders on what layers are made of: source
// text, and programs. The figure to look at is the ratio of the MB/s.
func BenchmarkReader(b *testing.B) {
	for _, data := range []struct{ name, dir string }{
		{"sources", goSources(b)},
		{"share", "/usr/share"},
		{"programs", "/usr/bin"},
		{"libraries", "/usr/lib"},
	} {
		b.Run(data.name, func(b *testing.B) {
			plain := tarOf(b, data.dir, benchmarkSize)
			compressed := gzipOf(b, plain, gzip.DefaultCompression)
			for _, decoder := range decoders {
				b.Run(decoder.name, func(b *testing.B) {
					b.SetBytes(int64(len(plain)))
					for b.Loop() {
						n, err := decoder.decode(bytes.NewReader(compressed))
						if err != nil || n != int64(len(plain)) {
							b.Fatalf("%d bytes, want %d: %v", n, len(plain), err)
						}
					}
				})
			}
		})
	}
}

// goSources is where the Go sources are.
func goSources(b *testing.B) string {
	b.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		b.Skip("the go command is not in PATH")
	}
	return filepath.Join(strings.TrimSpace(string(root)), "src")
}

var decoders = []struct {
	name   string
	decode func(io.Reader) (int64, error)
}{
	{"inflate", func(r io.Reader) (int64, error) {
		z, err := inflate.NewReader(struct{ io.Reader }{r})
		if err != nil {
			return 0, err
		}
		return z.WriteTo(io.Discard)
	}},
	{"klauspost", func(r io.Reader) (int64, error) {
		// A bufio.Reader takes klauspost's faster path.
		z, err := kgzip.NewReader(bufio.NewReaderSize(struct{ io.Reader }{r}, 256<<10))
		if err != nil {
			return 0, err
		}
		return z.WriteTo(io.Discard)
	}},
	{"stdlib", func(r io.Reader) (int64, error) {
		z, err := gzip.NewReader(bufio.NewReaderSize(struct{ io.Reader }{r}, 256<<10))
		if err != nil {
			return 0, err
		}
		return io.Copy(io.Discard, z)
	}},
}

// tarOf returns a tar stream of at least size bytes of the regular files below dir.
func tarOf(tb testing.TB, dir string, size int) []byte {
	tb.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return fs.SkipDir
		}
		info, err := d.Info()
		if err != nil || !info.Mode().IsRegular() {
			return nil //nolint:nilerr // a file that went away is no matter.
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return nil //nolint:nilerr // nor is one that cannot be read.
		}
		header := &tar.Header{Name: path[1:], Mode: 0o644, Size: int64(len(body)), ModTime: info.ModTime()}
		if err := w.WriteHeader(header); err != nil {
			return err
		}
		if _, err := w.Write(body); err != nil {
			return err
		}
		if out.Len() >= size {
			return fs.SkipAll
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	if out.Len() < size/8 {
		tb.Skipf("%s has too few files", dir)
	}
	return out.Bytes()
}

func gzipOf(tb testing.TB, plain []byte, level int) []byte {
	tb.Helper()
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, level)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}
