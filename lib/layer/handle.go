package layer

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// handle is an open directory. The cache holds one reference, each job that
// will use it another; the last one closes it.
type handle struct {
	fd   int
	refs atomic.Int32
}

func newHandle(fd int) *handle {
	h := &handle{fd: fd}
	h.refs.Store(1)
	return h
}

func (h *handle) retain() *handle {
	h.refs.Add(1)
	return h
}

func (h *handle) release() {
	if h.refs.Add(-1) == 0 {
		_ = unix.Close(h.fd) // a directory open for reading has nothing to lose
	}
}

// handles keeps the directories open that were used last. One goroutine owns
// it.
type handles struct {
	root  *node
	limit int
	queue []opened // the oldest first
	// stepwise is set once openat2 turns out not to be there.
	stepwise bool
}

// opened remembers which handle was queued: the node may have got another.
type opened struct {
	n *node
	h *handle
}

// The bounds of one openat2 call: the kernel takes paths below 4096 bytes,
// and every so many components a handle is kept, so that the way up from a
// deep directory does not start at the root each time.
const (
	strideBytes = 3000
	strideNames = 32
)

// open returns the handle of a directory. It stays valid until the next call;
// who needs it longer retains it.
func (c *handles) open(n *node) (*handle, error) {
	if n.dir.handle != nil {
		return n.dir.handle, nil
	}
	var chain []*node // from n up to, but without, the nearest open one
	for ; n.dir.handle == nil; n = n.parent {
		chain = append(chain, n)
	}
	for at := n.dir.handle; ; {
		stride := c.stride(chain)
		rest := len(chain) - stride
		end := chain[rest]
		fd, err := c.openBelow(at.fd, chain[rest:])
		if err != nil {
			return nil, fmt.Errorf("open directory %s: %w", end.path(), err)
		}
		at = newHandle(fd)
		c.keep(end, at)
		if chain = chain[:rest]; rest == 0 {
			return at, nil
		}
	}
}

// stride is how many of the last components of chain one call opens.
func (c *handles) stride(chain []*node) int {
	if c.stepwise {
		return 1
	}
	length, n := 0, 0
	for n < min(len(chain), strideNames) {
		length += len(chain[len(chain)-1-n].name) + 1
		if length > strideBytes {
			break
		}
		n++
	}
	return n
}

// openBelow opens the directory that the components lead to, the deepest
// first in the slice.
func (c *handles) openBelow(fd int, components []*node) (int, error) {
	if len(components) == 1 {
		return retry(func() (int, error) { return unix.Openat(fd, components[0].name, openFlags, 0) })
	}
	names := make([]string, len(components))
	for i, n := range components {
		names[len(names)-1-i] = n.name
	}
	how := unix.OpenHow{Flags: openFlags, Resolve: resolveFlags}
	below, err := retry(func() (int, error) { return unix.Openat2(fd, strings.Join(names, "/"), &how) })
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		// An old kernel, or an old seccomp filter.
		c.stepwise = true
		return c.stepBelow(fd, components)
	}
	return below, err
}

// stepBelow opens one component at a time, which needs no openat2.
func (c *handles) stepBelow(fd int, components []*node) (int, error) {
	at := fd
	for i := len(components) - 1; i >= 0; i-- {
		below, err := c.openBelow(at, components[i:i+1])
		if at != fd {
			_ = unix.Close(at)
		}
		if err != nil {
			return -1, err
		}
		at = below
	}
	return at, nil
}

// keep puts the handle into the cache, and the oldest out of it.
func (c *handles) keep(n *node, h *handle) {
	n.dir.handle = h
	c.queue = append(c.queue, opened{n, h})
	for len(c.queue) > c.limit {
		c.close(c.queue[0])
		c.queue = c.queue[1:]
	}
}

func (c *handles) close(o opened) {
	if o.n.dir.handle == o.h {
		o.n.dir.handle = nil
		o.h.release()
	}
}

// closeBelow closes what is open at or below a node that goes away.
func (c *handles) closeBelow(n *node) {
	if n.dir == nil {
		return
	}
	_ = n.walk(func(m *node) error {
		if m.dir != nil && m.dir.handle != nil {
			m.dir.handle.release()
			m.dir.handle = nil
		}
		return nil
	}, nil)
}

func (c *handles) closeAll() {
	for _, o := range c.queue {
		c.close(o)
	}
	c.queue = nil
}

// retry repeats a call that a signal interrupted, or in which openat2 saw a
// rename race with "..".
func retry(call func() (int, error)) (int, error) {
	for tries := 0; ; tries++ {
		n, err := call()
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) || tries > 64 {
			return n, err
		}
	}
}

// eintr is retry for calls that return nothing.
func eintr(call func() error) error {
	_, err := retry(func() (int, error) { return 0, call() })
	return err
}
