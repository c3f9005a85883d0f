package confine

import (
	"context"
	"io"
	"os"
	"runtime"
)

// Ahead is a process that was started before it is known what it shall do: it
// starts while its parent still reads the image's manifest. Nil
// holds none.
type Ahead struct {
	started chan *process // holds it, and is closed
	over    chan struct{}
}

// StartAhead starts the process of a root user's child. Others' processes
// depend on the id maps; for them, and where the process cannot be started,
// the first Run starts one and reports what it meets.
func StartAhead(ctx context.Context, name string, stderr io.Writer) *Ahead {
	a := &Ahead{started: make(chan *process, 1), over: make(chan struct{})}
	if os.Geteuid() != 0 {
		close(a.started)
		return a
	}
	go func() {
		// The process dies with the thread that made it: this goroutine keeps it.
		runtime.LockOSThread()
		if p, err := launch(ctx, name, stderr, true, false); err == nil {
			a.started <- p
		}
		close(a.started)
		<-a.over
	}()
	return a
}

// take returns the process, once.
func (a *Ahead) take() *process {
	if a == nil {
		return nil
	}
	return <-a.started
}

// Close ends a process that no Run has taken. It must be called after the last
// Run.
func (a *Ahead) Close() {
	if p := a.take(); p != nil {
		p.end()
		p.kill()
		_ = p.cmd.Wait()
	}
	close(a.over)
}
