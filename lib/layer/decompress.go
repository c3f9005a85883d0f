package layer

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/inflate"
)

// zstdWindow bounds what a frame may make the decoder remember. RFC 8878
// recommends that decoders support 8 MiB, and that encoders keep below.
const zstdWindow = 8 << 20

// decompress returns the plain stream of a blob whose media type promises
// want. Bytes that say otherwise are refused, unless they are to be believed.
//
// The stream is at its end only when all of the blob has been read, so that
// a reader which verifies the blob has seen every byte.
func decompress(blob io.Reader, want Compression, believeBytes bool) (io.ReadCloser, error) {
	// The buffer is only to look into: what reads more at a time passes it by.
	in := bufio.NewReader(blob)
	head, err := in.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	got, name, ok := sniff(head)
	switch {
	case !ok:
		return nil, fault.Hint(fault.Refused("the layer is packed with %s, which is not supported", name),
			"repack the image with gzip or zstd layers first")
	case len(head) == 0:
		return io.NopCloser(in), nil
	case got != want && !believeBytes:
		return nil, fault.Hint(fault.Refused("the media type says %s, but the bytes are %s", want, name),
			"--sniff believes the bytes")
	}
	switch got {
	case Gzip:
		plain, err := inflate.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		return io.NopCloser(plain), nil
	case Zstd:
		return newUnzstd(bufio.NewReaderSize(in, 256<<10))
	default:
		return io.NopCloser(in), nil
	}
}

// unzstd gives the decoder's errors their kind.
type unzstd struct{ decoder *zstd.Decoder }

func newUnzstd(in io.Reader) (io.ReadCloser, error) {
	decoder, err := zstd.NewReader(in,
		zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(zstdWindow))
	if err != nil {
		return nil, broken(fmt.Errorf("zstd: %w", err))
	}
	return &unzstd{decoder}, nil
}

func (u *unzstd) Read(p []byte) (int, error) {
	n, err := u.decoder.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = broken(fmt.Errorf("zstd: %w", err))
	}
	return n, err
}

func (u *unzstd) Close() error {
	u.decoder.Close()
	return nil
}

// broken marks a decoder's error as the input's fault, unless what lies
// below (a disk, a digest, a cancelled context) has said otherwise already.
func broken(err error) error {
	var system interface{ Timeout() bool } // syscall.Errno and what wraps it
	if errors.As(err, &system) {
		return err
	}
	return fault.As(fault.ErrRefused, err)
}
