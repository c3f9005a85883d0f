package transport

import (
	"io"
	"sync"
)

// The buffers that one reader keeps ahead: 2 MiB.
const (
	aheadBuffers = 8
	aheadSize    = 256 << 10
)

// aheadReader reads its source in another goroutine, so that two stages of
// work share two cores. Errors keep their place in the stream.
type aheadReader struct {
	full    chan piece
	empty   chan []byte
	stop    chan struct{}
	stopped sync.Once
	done    chan struct{}

	now    piece
	source io.ReadCloser
}

type piece struct {
	buf  []byte
	data []byte
	err  error
}

func readAhead(source io.ReadCloser) *aheadReader {
	a := &aheadReader{
		full:   make(chan piece, aheadBuffers),
		empty:  make(chan []byte, aheadBuffers),
		stop:   make(chan struct{}),
		done:   make(chan struct{}),
		source: source,
	}
	for range aheadBuffers {
		a.empty <- make([]byte, aheadSize)
	}
	go a.fill()
	return a
}

// fill reads until an error, the end included, or until Close.
func (a *aheadReader) fill() {
	defer close(a.done)
	for {
		var buf []byte
		select {
		case buf = <-a.empty:
		case <-a.stop:
			return
		}
		n, err := io.ReadAtLeast(a.source, buf, 1)
		select {
		case a.full <- piece{buf, buf[:n], err}:
		case <-a.stop:
			return
		}
		if err != nil {
			return
		}
	}
}

// Read returns what has been read ahead.
func (a *aheadReader) Read(p []byte) (int, error) {
	for len(a.now.data) == 0 {
		if a.now.err != nil {
			return 0, a.now.err
		}
		if a.now.buf != nil {
			a.empty <- a.now.buf
		}
		a.now = <-a.full
	}
	n := copy(p, a.now.data)
	a.now.data = a.now.data[n:]
	return n, nil
}

// Close stops reading, waits for the goroutine, and closes the source.
func (a *aheadReader) Close() error {
	var err error
	a.stopped.Do(func() {
		close(a.stop)
		<-a.done
		err = a.source.Close()
	})
	return err
}
