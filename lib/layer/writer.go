package layer

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/sparse"
)

// task is one step of making a file: all of a small one, a slice of a big one.
type task struct {
	n      *node
	h      *handle // of the directory; with the first step only
	chunk  *chunk  // that data is in
	data   []byte
	offset int64
	first  bool
	last   bool
	sparse bool
	// abandon closes the file: the rest of its body could not be read.
	abandon bool
}

// job is what a writer is handed at once: sending single tasks would cost
// more than small files themselves.
type job struct {
	tasks []task
	ack   *sync.WaitGroup
}

const (
	tasksPerJob = 32
	bytesPerJob = 128 << 10
)

// writer makes files, one after the other, in the order of its tasks.
type writer struct {
	disk *disk
	jobs chan job
	free chan []task // spent lists, for use again

	// of the sender
	batch []task
	bytes int

	// of the goroutine
	body
	sum    hash.Hash
	hashed int64 // offset up to which sum has seen the file

	identities identities
}

func newWriter(d *disk) *writer {
	return &writer{disk: d, jobs: make(chan job, 4), free: make(chan []task, 8), body: body{fd: -1}, sum: sha256.New()}
}

// add queues the task; the parser's goroutine calls it.
func (w *writer) add(t task) {
	if w.batch == nil {
		select {
		case w.batch = <-w.free:
		default:
			w.batch = make([]task, 0, tasksPerJob)
		}
	}
	w.batch = append(w.batch, t)
	if w.bytes += len(t.data); len(w.batch) == tasksPerJob || w.bytes >= bytesPerJob {
		w.flush()
	}
}

func (w *writer) flush() {
	if len(w.batch) > 0 {
		w.jobs <- job{tasks: w.batch}
		w.batch, w.bytes = nil, 0
	}
}

// run does jobs until there are no more. After an error anywhere it only
// gives back what the tasks hold.
func (w *writer) run() {
	for j := range w.jobs {
		for i := range j.tasks {
			t := &j.tasks[i]
			if w.disk.ctx.Err() == nil {
				if err := w.do(t); err != nil {
					w.disk.cancel(fmt.Errorf("%s: %w", t.n.path(), err))
				}
			}
			t.done()
		}
		if j.tasks != nil {
			clear(j.tasks)
			select {
			case w.free <- j.tasks[:0]:
			default:
			}
		}
		if j.ack != nil {
			j.ack.Done()
		}
	}
	w.abandon()
}

func (t *task) done() {
	if t.chunk != nil {
		t.chunk.release()
	}
	if t.h != nil {
		t.h.release()
	}
}

func (w *writer) abandon() {
	if w.fd >= 0 {
		_ = unix.Close(w.fd) // the run has failed already
		w.fd = -1
	}
}

func (w *writer) do(t *task) error {
	if t.abandon {
		w.abandon()
		return nil
	}
	if t.n.ino.kind != flagRegular {
		return w.leaf(t)
	}
	if t.first {
		if err := w.create(t); err != nil {
			return err
		}
	}
	if err := w.write(t); err != nil {
		return err
	}
	if t.last {
		return w.finish(t.n.ino, t.sparse || w.hole)
	}
	return nil
}

// create makes a file that was not there: O_EXCL follows no symlink, and
// never opens what somebody else has put in its place.
func (w *writer) create(t *task) error {
	ino := t.n.ino
	fd, err := retry(func() (int, error) {
		return unix.Openat(t.h.fd, t.n.name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, uint32(ino.mode&0o777))
	})
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	w.body, w.hashed = body{fd: fd}, 0
	if w.disk.opt.Digests {
		w.sum.Reset()
	}
	return nil
}

func (w *writer) write(t *task) error {
	if w.disk.opt.Digests && len(t.data) > 0 {
		w.hashHole(t.offset)
		w.sum.Write(t.data)
		w.hashed += int64(len(t.data))
	}
	if err := w.body.writeAt(t.data, t.offset); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// hashHole adds the hole up to the offset to the digest.
func (w *writer) hashHole(to int64) {
	n, _ := sparse.WriteZeros(w.sum, to-w.hashed, w.disk.ctx.Err) // the writer looks at the context itself
	w.hashed += n
}

// finish ends the digest and the file.
func (w *writer) finish(ino *inode, extend bool) error {
	if w.disk.opt.Digests {
		w.hashHole(ino.size)
		w.sum.Sum(ino.digest[:0])
	}
	return w.seal(ino, extend)
}

// seal sets the metadata in the one safe order: chown clears setuid bits and
// capabilities, and anything may change the time.
func (w *writer) seal(ino *inode, extend bool) error {
	fd := w.fd
	if extend {
		// A hole at the end is not there until the size says so.
		if err := eintr(func() error { return unix.Ftruncate(fd, ino.size) }); err != nil {
			return fmt.Errorf("extend: %w", err)
		}
	}
	if err := w.disk.setOwnerAndMode(fd, ino); err != nil {
		return err
	}
	if err := w.disk.setXattrs(ino, func(name string, value []byte) error { return unix.Fsetxattr(fd, name, value, 0) }); err != nil {
		return err
	}
	if err := setTimes(fd, ino.mtime); err != nil {
		return err
	}
	if err := w.disk.identify(ino, &w.identities, fd, ""); err != nil {
		return err
	}
	w.fd = -1
	if err := unix.Close(fd); err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("close: %w", err)
	}
	ino.written.Store(true)
	return nil
}
