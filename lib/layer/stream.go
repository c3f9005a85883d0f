package layer

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// stream inflates one layer into chunks. Two readers take each chunk: the
// one that parses the archive and the one that hashes it.
type stream struct {
	layer  Layer
	supply *supply
	limit  int64

	chunks chan *chunk // to the parser
	hashed chan *chunk // to the hash; nil when the blob's digest is the diffID
	// current is closed when the parser turns to this layer.
	current chan struct{}

	wait sync.WaitGroup
	err  error // of the inflater; read it once chunks is closed
	sum  hash.Hash
}

// start begins to inflate the layer. The parser must call finish, whatever
// happens, after the context is done or the stream is drained.
func start(ctx context.Context, src Source, l Layer, s *supply, opt Options) *stream {
	st := &stream{
		layer: l, supply: s, limit: opt.MaxLayerBytes,
		chunks: make(chan *chunk, 16), current: make(chan struct{}),
	}
	if !sameBytes(l) {
		st.hashed = make(chan *chunk, 16)
		st.sum = l.DiffID.Algorithm().Hash()
		st.wait.Go(st.hash)
	}
	st.wait.Go(func() {
		st.err = st.inflate(ctx, src, opt)
		close(st.chunks)
		if st.hashed != nil {
			close(st.hashed)
		}
	})
	return st
}

// sameBytes reports whether the blob is the archive itself, whose digest the
// Source verifies.
func sameBytes(l Layer) bool {
	c, err := CompressionOf(l.Descriptor.MediaType)
	return err == nil && c == None && l.Descriptor.Digest == l.DiffID
}

func (s *stream) hash() {
	for c := range s.hashed {
		s.sum.Write(c.buf[:c.n])
		c.release()
	}
}

func (s *stream) inflate(ctx context.Context, src Source, opt Options) (err error) {
	want, err := CompressionOf(s.layer.Descriptor.MediaType)
	if err != nil {
		return err
	}
	blob, err := src.Blob(ctx, s.layer.Descriptor)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, blob.Close()) }()
	plain, err := decompress(opt.count(blob), want, opt.Sniff)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plain.Close()) }()

	for total := int64(0); ; {
		c, err := s.supply.get(ctx, s.current)
		if err != nil {
			return err
		}
		c.refs.Store(1)
		ended, err := fill(c, plain)
		if total += int64(c.n); err == nil && total > s.limit {
			err = fault.Refused("the layer is more than %d bytes when unpacked", s.limit)
		}
		if err != nil || c.n == 0 {
			c.release()
			return err
		}
		if err := s.send(ctx, c); err != nil || ended {
			return err
		}
	}
}

// fill reads until the chunk is full or the stream at its end.
func fill(c *chunk, plain io.Reader) (ended bool, err error) {
	for c.n < len(c.buf) {
		n, err := plain.Read(c.buf[c.n:])
		c.n += n
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
	return false, nil
}

func (s *stream) send(ctx context.Context, c *chunk) error {
	if s.hashed != nil {
		c.retain()
		select {
		case s.hashed <- c:
		case <-ctx.Done():
			c.release()
			c.release()
			return context.Cause(ctx)
		}
	}
	select {
	case s.chunks <- c:
		return nil
	case <-ctx.Done():
		c.release()
		return context.Cause(ctx)
	}
}

// next returns the next chunk, or io.EOF at the end of the archive.
func (s *stream) next(ctx context.Context) (*chunk, error) {
	select {
	case c, ok := <-s.chunks:
		if ok {
			return c, nil
		}
		if s.err != nil {
			return nil, s.err
		}
		return nil, io.EOF
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// finish waits for the goroutines of the stream and, when all went well so
// far, compares the digest of the plain bytes.
func (s *stream) finish(failed bool) error {
	for c := range s.chunks {
		c.release()
	}
	s.wait.Wait()
	if failed || s.hashed == nil {
		return nil
	}
	if got := hex.EncodeToString(s.sum.Sum(nil)); got != s.layer.DiffID.Encoded() {
		return fault.Refused("the layer unpacks to %s:%s, but the config's diff_id is %s", s.layer.DiffID.Algorithm(), got, s.layer.DiffID)
	}
	return nil
}

// describe names the layer in messages.
func describe(i int, d ispec.Descriptor) string { return fmt.Sprintf("layer %d (%s)", i+1, d.Digest) }
