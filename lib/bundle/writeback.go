package bundle

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// writeBackPause is the time between two rounds of writing back: a small bundle
// is made in less.
const writeBackPause = 300 * time.Millisecond

// WriteBack has the kernel write back what is in the making, from time to time
// until stop is called, so that the sync in Publish, which finds every error,
// has little left to wait for. The kernel by itself would begin after seconds.
func (s *Staging) WriteBack() (stop func()) {
	// A file of its own: Publish is told of the errors since its own was opened.
	dir, err := os.Open(s.Dir)
	if err != nil {
		return func() {} // it would only have saved time
	}
	stopped := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		defer dir.Close()
		for {
			select {
			case <-stopped:
				return
			case <-time.After(writeBackPause):
				_ = unix.Syncfs(int(dir.Fd()))
			}
		}
	})
	return func() {
		close(stopped)
		running.Wait()
	}
}
