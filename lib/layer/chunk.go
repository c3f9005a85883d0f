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
	home *home
}

func (c *chunk) retain() { c.refs.Add(1) }

// release never blocks: its home has room for every chunk that came from it.
func (c *chunk) release() {
	if c.refs.Add(-1) == 0 {
		c.home.used <- c
	}
}

// home is where the chunks of one part of the supply are kept. Used ones are
// taken first: a small image then touches little memory, and a page that was
// never touched costs as much as a system call.
type home struct {
	used  chan *chunk
	fresh atomic.Int32 // how many more may be made
}

func newHome(n int) *home {
	h := &home{used: make(chan *chunk, n)}
	h.fresh.Store(int32(n))
	return h
}

// try returns nil when all chunks are in use.
func (h *home) try(s *slab) *chunk {
	select {
	case c := <-h.used:
		return c
	default:
	}
	if h.fresh.Add(-1) < 0 {
		h.fresh.Add(1)
		return nil
	}
	return &chunk{home: h, buf: s.cut()}
}

// supply bounds the memory of a run: it owns all chunks there will ever be.
//
// The layer that is being applied may draw from both parts; layers that are
// inflated ahead draw from the shared part alone. So what is inflated ahead
// can never starve the layer that everything waits for.
type supply struct {
	shared   *home
	reserved *home
	slab     slab
}

func newSupply(shared, reserved int) *supply {
	return &supply{shared: newHome(shared), reserved: newHome(reserved)}
}

// get waits for a free chunk. current is closed once the layer that asks is
// the one being applied.
func (s *supply) get(ctx context.Context, current <-chan struct{}) (*chunk, error) {
	if c := s.shared.try(&s.slab); c != nil {
		return c.ready(), nil
	}
	select {
	case c := <-s.shared.used:
		return c.ready(), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-current:
	}
	if c := s.reserved.try(&s.slab); c != nil {
		return c.ready(), nil
	}
	select {
	case c := <-s.shared.used:
		return c.ready(), nil
	case c := <-s.reserved.used:
		return c.ready(), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (c *chunk) ready() *chunk {
	c.n = 0
	return c
}
