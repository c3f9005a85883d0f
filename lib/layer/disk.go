package layer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// disk is the store that makes real files.
type disk struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	opt    Options
	open   *handles
	birth  birth

	writers []*writer
	working sync.WaitGroup
	next    int

	identities identities // of the parser

	warned sync.Map // operation or path → told already
}

// birth is what a file gets when it is made, so that what is right already
// need not be set.
type birth struct {
	uid, gid uint32
	umask    uint32
	// certain is false where the directory may hand down its group, or an
	// ACL: then everything is set.
	certain bool
}

// newDisk opens the directory and starts the writers.
func newDisk(ctx context.Context, dir string, root *node, opt Options) (*disk, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	root.dir.handle = newHandle(fd)
	d := &disk{opt: opt, open: &handles{root: root, limit: handleLimit()}}
	d.ctx, d.cancel = context.WithCancelCause(ctx)
	if err := d.prepareRoot(dir, fd, root); err != nil {
		root.dir.handle.release()
		d.cancel(nil)
		return nil, err
	}
	for range opt.Writers {
		w := newWriter(d)
		d.writers = append(d.writers, w)
		d.working.Go(w.run)
	}
	return d, nil
}

// handleLimit leaves half of the descriptors to everything else.
func handleLimit() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 16
	}
	return int(min(256, max(16, limit.Cur/4)))
}

// prepareRoot makes the files that are created below inherit nothing from
// the directory in which the tree is made.
func (d *disk) prepareRoot(dir string, fd int, root *node) error {
	d.birth = birth{uid: uint32(os.Geteuid()), gid: uint32(os.Getegid()), umask: umask()}
	if d.opt.Existing {
		root.dir.existing, root.dir.unread = true, true
		return adopt(fd, root.ino)
	}
	if err := unix.Fchmod(fd, 0o700); err != nil {
		return fmt.Errorf("change the mode of %s: %w", dir, err)
	}
	if err := unix.Fremovexattr(fd, "system.posix_acl_default"); err != nil && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("remove the default ACL of %s: %w", dir, err)
	}
	d.birth.certain = true
	return nil
}

// umask reads the process's umask without changing it, which would change it
// for all threads.
func umask() uint32 {
	status, err := os.ReadFile("/proc/self/status")
	if err == nil {
		for line := range bytes.Lines(status) {
			if digits, ok := strings.CutPrefix(string(line), "Umask:\t"); ok {
				if n, err := strconv.ParseUint(strings.TrimSpace(digits), 8, 32); err == nil {
					return uint32(n)
				}
			}
		}
	}
	return 0o777 // everything is set explicitly
}

func (d *disk) mkdir(n *node) error {
	h, err := d.open.open(n.parent)
	if err != nil {
		return err
	}
	if err := eintr(func() error { return makeDir(h.fd, n.name) }); err != nil {
		return fmt.Errorf("make directory %s: %w", n.path(), err)
	}
	return nil
}

// file hands the body to a writer, in slices of the chunks that it came in.
func (d *disk) file(n *node, r *tarReader) error {
	h, err := d.open.open(n.parent)
	if err != nil {
		return err
	}
	w := d.pick()
	sparse := r.entry.sparse
	t := task{n: n, h: h.retain(), first: true, sparse: sparse}
	regions := r.entry.regions
	var offset int64
	for {
		p, err := r.body()
		if err != nil {
			if t.first {
				t.h.release()
			} else {
				w.add(task{n: n, abandon: true})
			}
			return err
		}
		for len(p) > 0 {
			t.data = p
			if sparse {
				if offset == 0 {
					offset = regions[0].offset
				}
				end := regions[0].offset + regions[0].length
				t.data = p[:min(int64(len(p)), end-offset)]
				t.offset = offset
				if offset += int64(len(t.data)); offset == end {
					regions, offset = regions[1:], 0
				}
			} else {
				t.offset = offset
				offset += int64(len(t.data))
			}
			p = p[len(t.data):]
			t.chunk = r.cur
			t.chunk.retain()
			t.last = r.entry.stored == 0 && len(p) == 0
			w.add(t)
			if t.last {
				return d.failed()
			}
			t = task{n: n, sparse: sparse}
		}
		if t.first && r.entry.stored == 0 { // an empty file, or one hole
			t.last = true
			w.add(t)
			return d.failed()
		}
	}
}

func (d *disk) leaf(n *node) error {
	h, err := d.open.open(n.parent)
	if err != nil {
		return err
	}
	d.pick().add(task{n: n, h: h.retain(), first: true, last: true})
	return d.failed()
}

func (d *disk) link(n, target *node) error {
	if !target.ino.written.Load() {
		if err := d.barrier(); err != nil {
			return err
		}
	}
	from, err := d.open.open(target.parent)
	if err != nil {
		return err
	}
	from.retain()
	defer from.release()
	to, err := d.open.open(n.parent)
	if err != nil {
		return err
	}
	// Flags 0: a symlink gets one more name itself, it is not followed.
	err = eintr(func() error { return unix.Linkat(from.fd, target.name, to.fd, n.name, 0) })
	if noLinks(err) {
		d.warnOnce("link", "hard link %s is a copy, and so are others that cannot be made here: %v", n.path(), err)
		err = d.copyInstead(n, target, from, to)
	}
	if err != nil {
		return fmt.Errorf("link %s to %s: %w", n.path(), target.path(), err)
	}
	return d.identify(n.ino, &d.identities, to.fd, n.name) // its ctime is another one now
}

// remove waits for the writers: what is removed may still be in the making.
func (d *disk) remove(n *node) error {
	if err := d.barrier(); err != nil {
		return err
	}
	d.open.closeBelow(n)
	h, err := d.open.open(n.parent)
	if err != nil {
		return err
	}
	if n.dir == nil {
		err = unix.Unlinkat(h.fd, n.name, 0)
	} else {
		err = removeTree(h.fd, n.name)
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", n.path(), err)
	}
	return nil
}

// pick takes the writers in turn, but passes over one that is busy with a
// big file.
func (d *disk) pick() *writer {
	best := d.writers[d.next%len(d.writers)]
	d.next++
	for _, w := range d.writers {
		if len(w.jobs) < len(best.jobs) {
			best = w
		}
	}
	return best
}

// flush hands over what is waiting, before the parser itself has to wait.
func (d *disk) flush() {
	for _, w := range d.writers {
		w.flush()
	}
}

// barrier waits until everything handed over has been done.
func (d *disk) barrier() error {
	var done sync.WaitGroup
	for _, w := range d.writers {
		w.flush()
		done.Add(1)
		w.jobs <- job{ack: &done}
	}
	done.Wait()
	return d.failed()
}

// failed returns the first error of a writer, or that the run was stopped.
func (d *disk) failed() error {
	if d.ctx.Err() != nil {
		return context.Cause(d.ctx)
	}
	return nil
}

// close ends the writers, and closes all directories.
func (d *disk) close() {
	d.flush()
	for _, w := range d.writers {
		close(w.jobs)
	}
	d.working.Wait()
	d.cancel(nil)
	d.open.closeAll()
	d.open.root.dir.handle.release()
}

// warnOnce tells of what happens to many files but once.
func (d *disk) warnOnce(key, format string, args ...any) {
	if _, told := d.warned.LoadOrStore(key, true); !told {
		d.opt.Warn(format, args...)
	}
}
