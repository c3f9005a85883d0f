package layer

import (
	"context"
	"sync/atomic"
)

// chunkSize is a multiple of the tar block, so that no block is ever split
// between two chunks.
const chunkSize = 256 << 10

// chunk is a piece of the plain stream of a layer. Who fills it sets the
// number of its readers before it sends it; nobody writes to it afterwards.
// The last reader gives it back.
type chunk struct {
	buf  []byte
	n    int
	refs atomic.Int32
	home chan *chunk
}

func (c *chunk) retain() { c.refs.Add(1) }

// release never blocks: its home has room for every chunk that came from it.
func (c *chunk) release() {
	if c.refs.Add(-1) == 0 {
		c.home <- c
	}
}

// supply bounds the memory of a run: it owns all chunks there will ever be.
//
// The layer that is being applied may draw from both parts; layers that are
// inflated ahead draw from the shared part alone. So what is inflated ahead
// can never starve the layer that everything waits for.
type supply struct {
	shared   chan *chunk
	reserved chan *chunk
}

func newSupply(shared, reserved int) *supply {
	return &supply{shared: newHome(shared), reserved: newHome(reserved)}
}

func newHome(n int) chan *chunk {
	home := make(chan *chunk, n)
	for range n {
		home <- &chunk{home: home}
	}
	return home
}

// get waits for a free chunk. current is closed once the layer that asks is
// the one being applied.
func (s *supply) get(ctx context.Context, current <-chan struct{}) (*chunk, error) {
	select {
	case c := <-s.shared:
		return c.ready(), nil
	default:
	}
	select {
	case c := <-s.shared:
		return c.ready(), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-current:
	}
	select {
	case c := <-s.shared:
		return c.ready(), nil
	case c := <-s.reserved:
		return c.ready(), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// ready allocates on first use, so that a small image costs little memory.
func (c *chunk) ready() *chunk {
	if c.buf == nil {
		c.buf = make([]byte, chunkSize)
	}
	c.n = 0
	return c
}
