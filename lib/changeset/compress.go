package changeset

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// Compression is how the bytes of a layer are stored.
type Compression string

// The compressions of the image-spec (layer.md).
const (
	Gzip        Compression = "gzip"
	Zstd        Compression = "zstd"
	Plain       Compression = "none"
	dockerLayer             = "application/vnd.docker.image.rootfs.diff.tar"
)

// ParseCompression reads gzip, zstd or none.
func ParseCompression(s string) (Compression, error) {
	switch c := Compression(s); c {
	case Gzip, Zstd, Plain:
		return c, nil
	default:
		return "", fault.Usage("compression %q is none of gzip, zstd, none", s)
	}
}

// CompressionOf is that of a layer's media type; gzip for one without a layer.
func CompressionOf(mediaType string) Compression {
	switch {
	case strings.HasSuffix(mediaType, "+zstd"), strings.HasSuffix(mediaType, ".zstd"):
		return Zstd
	case mediaType == "", strings.HasSuffix(mediaType, "+gzip"), strings.HasSuffix(mediaType, ".gzip"):
		return Gzip
	default:
		return Plain
	}
}

// MediaType is that of a layer with the compression, in docker's family of
// media types or the image-spec's. Docker has none for zstd.
func (c Compression) MediaType(docker bool) string {
	switch {
	case c == Zstd && docker:
		return dockerLayer + ".zstd"
	case c == Zstd:
		return ispec.MediaTypeImageLayerZstd
	case c == Plain && docker:
		return dockerLayer
	case c == Plain:
		return ispec.MediaTypeImageLayer
	case docker:
		return dockerLayer + ".gzip"
	default:
		return ispec.MediaTypeImageLayerGzip
	}
}

// Encoding says how a layer is compressed. Equal encodings of equal bytes by
// the same version of this package are equal; over versions only the diffID
// is.
type Encoding struct {
	Compression Compression
	// Level is from 1 (fast) to 9 for gzip, and to 22 for zstd; 0 is the
	// default of 6 and 3.
	Level int
}

// Check says whether there is such an encoding.
func (e Encoding) Check() error {
	most := map[Compression]int{Gzip: 9, Zstd: 22, Plain: 0}[e.Compression]
	if e.Level < 0 || e.Level > most {
		return fault.Usage("compression level %d is not from 1 to %d, the range of %s", e.Level, most, e.Compression)
	}
	return nil
}

// compressor returns a writer that must be closed, which leaves out open.
func (e Encoding) compressor(out io.Writer) (io.WriteCloser, error) {
	level := e.Level
	switch e.Compression {
	case Plain:
		return nopCloser{out}, nil
	case Zstd:
		if level == 0 {
			level = 3
		}
		// One thread, so that the number of cores does not show.
		return zstd.NewWriter(out, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)))
	default:
		if level == 0 {
			level = 6
		}
		return newGzipWriter(out, level)
	}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// Encode has write produce the plain tar of a layer, and writes it compressed
// to out. It returns the diffID and size of the plain tar.
func (e Encoding) Encode(ctx context.Context, out io.Writer, write func(io.Writer) error) (digest.Digest, int64, error) {
	z, err := e.compressor(out)
	if err != nil {
		return "", 0, fmt.Errorf("compress layer: %w", err)
	}
	sum := sha256.New()
	count := &counter{ctx: ctx}
	plain := bufio.NewWriterSize(io.MultiWriter(sum, count, z), 256<<10)
	err = write(plain)
	if err == nil {
		err = plain.Flush()
	}
	if cerr := z.Close(); cerr != nil {
		err = errors.Join(err, fmt.Errorf("compress layer: %w", cerr))
	}
	if err != nil {
		return "", 0, err
	}
	return digest.NewDigest(digest.SHA256, sum), count.n, nil
}

// counter counts, and stops when the context is done.
type counter struct {
	ctx context.Context //nolint:containedctx // one counter serves one operation
	n   int64
}

func (c *counter) Write(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	c.n += int64(len(p))
	return len(p), nil
}
