package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// impatience is how long after the first signal a second one is taken for the
// same: timeout(1) and others signal the process, and then its whole group.
const impatience = time.Second

// interrupted is the cause of a context that a signal cancelled.
type interrupted struct{ number syscall.Signal }

func (i *interrupted) Error() string { return fmt.Sprintf("stopped by signal: %s", i.number) }

// signals ignores SIGPIPE, so that a lost reader is an EPIPE that the stage
// can undo, and cancels the context on INT, TERM and HUP. A second signal ends
// the process at once. What is returned ends the context, not the handling of
// signals: the process is about to end, and to stop costs eight switches.
func (c *Command) signals(log *Log) (context.Context, func()) {
	signal.Ignore(syscall.SIGPIPE)
	if c.OwnSignals {
		return context.Background(), func() {}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	caught := make(chan os.Signal, 2)
	signal.Notify(caught, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		var first time.Time
		for {
			select {
			case <-done:
				return
			case sig := <-caught:
				number, ok := sig.(syscall.Signal)
				switch {
				case !ok:
				case first.IsZero():
					first = time.Now()
					cancel(&interrupted{number})
				case time.Since(first) < impatience:
				default:
					log.line("error", "second signal, giving up without cleaning up")
					os.Exit(128 + int(number)) //nolint:forbidigo // asked for twice
				}
			}
		}
	}()
	return ctx, func() {
		close(done)
		cancel(nil)
	}
}

// signalOf returns the signal that cancelled ctx, or nil.
func signalOf(ctx context.Context) *interrupted {
	var sig *interrupted
	if errors.As(context.Cause(ctx), &sig) {
		return sig
	}
	return nil
}
