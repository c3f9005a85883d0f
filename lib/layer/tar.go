package layer

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

const blockSize = 512

// tarReader takes an archive apart without copying bodies. It is stricter
// than archive/tar, which lets ids beyond 32 bits and negative ones through,
// and it bounds what a header may make it remember (CVE-2022-2879).
type tarReader struct {
	ctx  context.Context
	next chunkSource
	cur  *chunk
	pos  int
	off  int64 // of the next byte, for messages

	entry entry
	pad   int64
	paxed paxRecords
}

// chunkSource hands out the chunks of a stream, and io.EOF after the last.
type chunkSource func(context.Context) (*chunk, error)

func newTarReader(ctx context.Context, next chunkSource) *tarReader {
	return &tarReader{ctx: ctx, next: next}
}

// close gives the chunk that is held back.
func (r *tarReader) close() {
	if r.cur != nil {
		r.cur.release()
		r.cur = nil
	}
}

// piece returns up to want bytes, valid until the next call unless the chunk
// is retained. It returns io.EOF at the end of the stream.
func (r *tarReader) piece(want int64) ([]byte, error) {
	for r.cur == nil || r.pos == r.cur.n {
		r.close()
		c, err := r.next(r.ctx)
		if err != nil {
			return nil, err
		}
		r.cur, r.pos = c, 0
	}
	n := min(int64(r.cur.n-r.pos), want)
	p := r.cur.buf[r.pos : r.pos+int(n)]
	r.pos += int(n)
	r.off += n
	return p, nil
}

// block returns the next header block. A chunk holds whole blocks, unless the
// archive is cut.
func (r *tarReader) block() ([]byte, error) {
	p, err := r.piece(blockSize)
	if err == nil && len(p) < blockSize {
		return nil, fault.Refused("the archive is cut inside a header, at byte %d", r.off)
	}
	return p, err
}

// Next returns the next entry, or io.EOF after the last. It skips what the
// caller left of the body of the one before. The entry is overwritten by the
// next call.
func (r *tarReader) Next() (*entry, error) {
	if err := r.skip(r.entry.stored + r.pad); err != nil {
		return nil, err
	}
	r.entry = entry{}
	r.pad = 0
	e, err := r.header()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return e, err
}

// header reads blocks until they make an entry: extended headers come first.
func (r *tarReader) header() (*entry, error) {
	var ext extended
	for {
		b, err := r.block()
		switch {
		case errors.Is(err, io.EOF) && ext.any:
			return nil, fault.Refused("the archive ends after an extended header that belongs to no entry")
		case err != nil:
			return nil, err
		case zero(b):
			if ext.any {
				return nil, fault.Refused("the archive ends after an extended header that belongs to no entry")
			}
			return nil, r.end()
		}
		h, err := parseHeader(b)
		if err != nil {
			return nil, fault.Refused("header at byte %d: %w", r.off-blockSize, err)
		}
		switch h.flag {
		case 'x', 'g', 'L', 'K':
			if err := r.extension(h, &ext); err != nil {
				return nil, err
			}
			continue
		}
		if err := r.assemble(h, &ext); err != nil {
			if r.entry.name != "" {
				return nil, fault.Refused("entry %q: %w", r.entry.name, err)
			}
			return nil, fault.Refused("header at byte %d: %w", r.off-blockSize, err)
		}
		return &r.entry, nil
	}
}

// end has seen one block of zeros. What follows the second one belongs to
// the diffID, and not to the archive.
func (r *tarReader) end() error {
	b, err := r.block()
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	if err != nil {
		return err
	}
	if !zero(b) {
		return fault.Refused("a header follows the end mark of the archive, at byte %d", r.off-blockSize)
	}
	return io.EOF
}

// drain reads what is left, so that all of it is hashed.
func (r *tarReader) drain() error {
	for {
		if _, err := r.piece(chunkSize); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// body returns the next stored bytes of the entry, or nil at their end.
func (r *tarReader) body() ([]byte, error) {
	if r.entry.stored == 0 {
		return nil, nil
	}
	p, err := r.piece(r.entry.stored)
	if errors.Is(err, io.EOF) {
		return nil, fault.Refused("the archive is cut inside %q: %d bytes are missing", r.entry.name, r.entry.stored)
	}
	r.entry.stored -= int64(len(p))
	return p, err
}

func (r *tarReader) skip(n int64) error {
	for n > 0 {
		p, err := r.piece(n)
		if errors.Is(err, io.EOF) {
			// Many writers leave out the padding of the last entry.
			if n < blockSize && n == r.pad {
				return nil
			}
			return fault.Refused("the archive is cut inside %q: %d bytes are missing", r.entry.name, n)
		}
		if err != nil {
			return err
		}
		n -= int64(len(p))
	}
	return nil
}

// extension reads a header that describes the entry after it.
func (r *tarReader) extension(h *header, ext *extended) error {
	if h.size > maxHeaders {
		return fault.Refused("the extended header at byte %d has %d bytes, more than %d", r.off-blockSize, h.size, maxHeaders)
	}
	if h.flag == 'g' {
		// Global headers are those of git archives: they say nothing that
		// an unpacker needs, and no entry may inherit a path.
		return r.skip(padded(h.size))
	}
	data, err := r.collect(h.size)
	if err != nil {
		return err
	}
	ext.any = true
	switch h.flag {
	case 'x':
		if r.paxed, err = parsePAX(data, r.paxed[:0]); err != nil {
			return fault.Refused("extended header at byte %d: %w", r.off, err)
		}
		ext.pax = r.paxed
	case 'L':
		ext.name = cString(data)
	case 'K':
		ext.link = cString(data)
	}
	return nil
}

// collect copies n bytes and skips their padding.
func (r *tarReader) collect(n int64) ([]byte, error) {
	data := make([]byte, 0, n)
	for int64(len(data)) < n {
		p, err := r.piece(n - int64(len(data)))
		if errors.Is(err, io.EOF) {
			return nil, fault.Refused("the archive is cut inside an extended header, at byte %d", r.off)
		}
		if err != nil {
			return nil, err
		}
		data = append(data, p...)
	}
	return data, r.skip(padded(n) - n)
}

// padded rounds up to whole blocks.
func padded(n int64) int64 { return (n + blockSize - 1) &^ (blockSize - 1) }

func zero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

// cString cuts at the first NUL.
func cString(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}
