package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// dripRate is the least that counts as progress, in bytes per second: a server
// that sends a byte now and then holds nobody for ever.
const dripRate = 512

// watch cancels a request that brings nothing for some time. The time is that
// of idleness: a transfer that goes on may take as long as it likes.
type watch struct {
	ctx    context.Context //nolint:containedctx // of the one request it watches
	cancel context.CancelCauseFunc
	limit  time.Duration

	mu    sync.Mutex
	timer *time.Timer
	since int64 // bytes since the timer was last wound
}

func newWatch(ctx context.Context, limit time.Duration) *watch {
	w := &watch{limit: limit}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.timer = time.AfterFunc(limit, func() { w.cancel(fmt.Errorf("%w for %s", errStalled, limit)) })
	return w
}

// progress winds the timer when enough has come; the arrival of an answer's
// header, n = 0, always is.
func (w *watch) progress(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.since += int64(n)
	if n == 0 || float64(w.since) >= dripRate*w.limit.Seconds() {
		w.since = 0
		w.timer.Reset(w.limit)
	}
}

// stop ends the request.
func (w *watch) stop() {
	w.timer.Stop()
	w.cancel(nil)
}

// explain puts the watch's own cause in place of "context canceled".
func (w *watch) explain(err error) error {
	if cause := context.Cause(w.ctx); cause != nil && errors.Is(cause, errStalled) {
		return cause
	}
	return err
}

// watchedBody is a request's body: what is sent is progress, too.
type watchedBody struct {
	io.ReadCloser
	watch *watch
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.watch.progress(n)
	} else if err != nil {
		// The server now has to store what it got.
		b.watch.progress(0)
	}
	return n, err
}
