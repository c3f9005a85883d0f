package changeset

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// emptyDigest is that of an empty file, which nobody needs the right to read.
var emptyDigest = sha256.Sum256(nil)

// openRegular opens the regular file name of d for reading, when it is still
// the file that want describes. The handle comes first, so that a fifo or a
// device put in its place is never opened.
func openRegular(d *directory, name string, want *Stat) (*os.File, error) {
	handle, err := d.handle(name)
	if err != nil {
		return nil, d.changed(name, fmt.Errorf("open: %w", err))
	}
	defer unix.Close(handle)
	st, err := statAt(handle, "")
	if err != nil || !d.widenings.same(&st, want) || st.Type() != unix.S_IFREG {
		return nil, d.changed(name, err)
	}
	self := fmt.Sprintf("/proc/self/fd/%d", handle)
	fd, err := retry(func() (int, error) { return unix.Open(self, unix.O_RDONLY|unix.O_CLOEXEC, 0) })
	if errors.Is(err, unix.EACCES) {
		// The owner lacks the right to read (mode 0000). Widening the
		// mode for a moment moves the ctime, and nothing else.
		fd, err = d.widened(handle, func() (int, error) {
			return unix.Open(self, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		})
		if err == nil {
			st, err = statAt(fd, "")
			want.Ctime = st.Ctime
		}
	}
	if err != nil {
		return nil, d.changed(name, fmt.Errorf("open: %w", err))
	}
	return os.NewFile(uintptr(fd), name), nil
}

// readSame copies the whole content of the file to out. It fails when the file
// is not what want describes any more at the end.
func readSame(d *directory, name string, f *os.File, want *Stat, out io.Writer, buf []byte) error {
	n, err := copySparse(out, f, want, buf)
	if err != nil {
		return fmt.Errorf("%s: %w", clip(d.join(name)), err)
	}
	st, err := statAt(int(f.Fd()), "")
	if err != nil || n != want.Size || st.Size != want.Size || st.Mtime != want.Mtime || st.Ctime != want.Ctime {
		return d.changed(name, err)
	}
	return nil
}

// job is a file whose content may have changed.
type job struct {
	file *os.File
	path string
	node *Node
	want [32]byte
}

// hashers digest files on all cores, and mark the nodes of those that differ.
type hashers struct {
	jobs chan job
	wait sync.WaitGroup
	mu   sync.Mutex
	errs []error
}

func newHashers() *hashers {
	h := &hashers{jobs: make(chan job, 16)}
	for range runtime.GOMAXPROCS(0) {
		h.wait.Go(h.work)
	}
	return h
}

func (h *hashers) work() {
	sum := sha256.New()
	buf := make([]byte, 256<<10)
	for j := range h.jobs {
		if err := h.digest(j, sum, buf); err != nil {
			h.mu.Lock()
			h.errs = append(h.errs, err)
			h.mu.Unlock()
		}
	}
}

// digest marks the node Changed when the content is not the wanted one. The
// writer of a large file is caught by the ctime, here or in the second pass.
func (h *hashers) digest(j job, sum hash.Hash, buf []byte) error {
	defer j.file.Close()
	sum.Reset()
	n, err := copySparse(sum, j.file, &j.node.Stat, buf)
	if err != nil {
		return fmt.Errorf("%s: %w", j.path, err)
	}
	if n != j.node.Stat.Size || [32]byte(sum.Sum(nil)) != j.want {
		j.node.Kind, j.node.content = Changed, true
	}
	return nil
}

// finish waits for all files.
func (h *hashers) finish() error {
	close(h.jobs)
	h.wait.Wait()
	return errors.Join(h.errs...)
}
