package pipe

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Input reads from r until ctx ends, whose cause Read returns then, also where r
// blocks. Regular files do not.
func Input(ctx context.Context, r io.Reader) io.Reader {
	return &input{ctx: ctx, r: r, direct: isRegular(r)}
}

type input struct {
	ctx    context.Context //nolint:containedctx // of the one stream
	r      io.Reader
	direct bool
	buf    []byte
}

func (i *input) Read(p []byte) (int, error) {
	if err := context.Cause(i.ctx); err != nil {
		return 0, err
	}
	if i.direct {
		return i.r.Read(p)
	}
	if len(i.buf) < len(p) {
		i.buf = make([]byte, len(p))
	}
	// Not into p: its owner may use it while what was left behind reads.
	buf := i.buf[:len(p)]
	n, err := Abandon(i.ctx, func() (int, error) { return i.r.Read(buf) })
	return copy(p, buf[:n]), err
}

// Output writes to w as Input reads. What was left behind may be written later,
// so it is for streams and not for records, which say that a thing is there.
func Output(ctx context.Context, w io.Writer) io.Writer {
	return &output{ctx: ctx, w: w, direct: isRegular(w)}
}

type output struct {
	ctx    context.Context //nolint:containedctx // of the one stream
	w      io.Writer
	direct bool
	buf    []byte
}

func (o *output) Write(p []byte) (int, error) {
	if err := context.Cause(o.ctx); err != nil {
		return 0, err
	}
	if o.direct {
		return o.w.Write(p)
	}
	o.buf = append(o.buf[:0], p...)
	buf := o.buf
	return Abandon(o.ctx, func() (int, error) { return o.w.Write(buf) })
}

// Open opens a file, or gives up when ctx ends: a FIFO waits for its other end.
func Open(ctx context.Context, name string, flag int) (*os.File, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return Abandon(ctx, func() (*os.File, error) { return os.OpenFile(name, flag, 0) })
}

// Abandon waits for do, or for the end of ctx. What do blocks on then is left
// behind, to end with the process.
func Abandon[T any](ctx context.Context, do func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		value, err := do()
		done <- outcome{value, err}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

func isRegular(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular()
}

// Ready writes a record to w once there is room for it, or gives up when ctx
// ends before. A record that is written in part, or after its stage has undone
// what it names, would be one of nothing.
func Ready(ctx context.Context, w io.Writer) io.Writer {
	f, ok := w.(*os.File)
	if !ok {
		return w
	}
	return &ready{ctx: ctx, f: f}
}

type ready struct {
	ctx context.Context //nolint:containedctx // of the one stream
	f   *os.File
}

func (r *ready) Write(p []byte) (int, error) {
	for !r.room() {
		if err := context.Cause(r.ctx); err != nil {
			return 0, err
		}
	}
	return r.f.Write(p)
}

// room waits a moment for a pipe to have room. Of what cannot be asked, the
// write itself tells.
func (r *ready) room() bool {
	const moment = 100                                                                      // milliseconds
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(r.f.Fd()), Events: unix.POLLOUT}}, moment) //nolint:gosec // descriptors are small
	return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
}
