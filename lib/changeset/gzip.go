package changeset

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"

	"github.com/klauspost/compress/flate"
)

// gzipBlock is how much is compressed at a time. It is part of the result, so
// it is fixed: neither the number of cores nor the sizes of the writes may
// show in the bytes.
const gzipBlock = 512 << 10

// window is how far back deflate refers (RFC 1951).
const window = 32 << 10

// gzipWriter compresses blocks on all cores into one gzip member. Each block
// may refer to the end of the one before, and ends with a sync flush, so that
// the blocks make one stream (RFC 1951, and how pigz does it).
type gzipWriter struct {
	out   io.Writer
	level int
	block []byte
	dict  []byte
	queue chan *gzipPart
	idle  chan *flate.Writer
	done  chan error
	crc   uint32
	size  uint32 // modulo 2^32, as the trailer has it
}

// gzipPart is a block on its way.
type gzipPart struct {
	data, dict []byte
	last       bool
	packed     chan packed
}

type packed struct {
	bytes.Buffer
	err error
}

// gzipHeader has neither a name nor a time (RFC 1952); the last byte says that
// the system is unknown.
var gzipHeader = [10]byte{0x1f, 0x8b, 8, 9: 0xff}

func newGzipWriter(out io.Writer, level int) (*gzipWriter, error) {
	if level < flate.BestSpeed || level > flate.BestCompression {
		return nil, fmt.Errorf("gzip level %d is not from 1 to 9", level)
	}
	workers := runtime.GOMAXPROCS(0)
	z := &gzipWriter{
		out: out, level: level,
		queue: make(chan *gzipPart, workers),
		idle:  make(chan *flate.Writer, workers),
		done:  make(chan error, 1),
	}
	for range workers {
		z.idle <- nil
	}
	go z.collect()
	return z, nil
}

// Write takes plain bytes.
func (z *gzipWriter) Write(p []byte) (int, error) {
	n := len(p)
	z.crc = crc32.Update(z.crc, crc32.IEEETable, p)
	z.size += uint32(n)
	for len(p) > 0 {
		if z.block == nil {
			z.block = make([]byte, 0, gzipBlock)
		}
		k := min(len(p), gzipBlock-len(z.block))
		z.block = append(z.block, p[:k]...)
		p = p[k:]
		// A full block waits for more bytes, since the last one must be
		// marked as such.
		if len(z.block) == gzipBlock && len(p) > 0 {
			z.send(false)
		}
	}
	return n, nil
}

// send gives the block to a worker. It waits while all are busy.
func (z *gzipWriter) send(last bool) {
	part := &gzipPart{data: z.block, dict: z.dict, last: last, packed: make(chan packed, 1)}
	z.dict = z.block[max(0, len(z.block)-window):]
	z.block = nil
	f := <-z.idle
	z.queue <- part
	go func() {
		var p packed
		f, p.err = compressBlock(&p.Buffer, f, z.level, part)
		z.idle <- f
		part.packed <- p
	}()
}

func compressBlock(out *bytes.Buffer, f *flate.Writer, level int, part *gzipPart) (*flate.Writer, error) {
	out.Grow(len(part.data)/2 + 1024)
	var err error
	if f == nil {
		f, err = flate.NewWriterDict(out, level, part.dict)
		if err != nil {
			return nil, err
		}
	} else {
		f.ResetDict(out, part.dict)
	}
	if _, err := f.Write(part.data); err != nil {
		return nil, err
	}
	if part.last {
		return f, f.Close()
	}
	return f, f.Flush()
}

// collect writes the parts in their order. After an error it only drains.
func (z *gzipWriter) collect() {
	_, err := z.out.Write(gzipHeader[:])
	for part := range z.queue {
		p := <-part.packed
		if err == nil {
			err = p.err
		}
		if err == nil {
			_, err = p.WriteTo(z.out)
		}
	}
	z.done <- err
}

// Close ends the member.
func (z *gzipWriter) Close() error {
	z.send(true)
	close(z.queue)
	if err := <-z.done; err != nil {
		return err
	}
	trailer := binary.LittleEndian.AppendUint32(nil, z.crc)
	trailer = binary.LittleEndian.AppendUint32(trailer, z.size)
	_, err := z.out.Write(trailer)
	return err
}
