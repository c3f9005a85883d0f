package transport

import (
	"sync"

	"github.com/opencontainers/go-digest"
)

// tracker keeps what happened to each blob of one copy, and passes it on.
type tracker struct {
	mu     sync.Mutex
	notify func(Event)
	state  map[digest.Digest]Action
	blobs  []Blob
}

func newTracker(notify func(Event)) *tracker {
	return &tracker{notify: notify, state: make(map[digest.Digest]Action)}
}

// event records one event. A blob is counted once, whoever tells of it first:
// what was fetched ahead is found by the library as already there.
func (t *tracker) event(e Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if last := t.state[e.Digest]; last == Done || last == Reused {
		return
	}
	t.state[e.Digest] = e.Action
	if e.Action == Done || e.Action == Reused {
		t.blobs = append(t.blobs, Blob{Digest: e.Digest, Size: e.Size, Reused: e.Action == Reused})
	}
	if t.notify != nil {
		t.notify(e)
	}
}

// mover returns what to call with the number of bytes moved of a blob.
func (t *tracker) mover(d digest.Digest, size int64) func(int64) {
	var offset int64
	return func(n int64) {
		offset += n
		t.event(Event{Action: Moved, Digest: d, Size: size, Offset: offset})
	}
}
