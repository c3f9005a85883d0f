package mtree

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/sparse"
)

// inspection is a file of the tree on its way to a worker. The walk has opened
// it, since only there its directory is open.
type inspection struct {
	want, got *Entry
	fd        int // -1 where there is nothing to read
	stat      unix.Stat_t
}

// compareTree walks the tree in one goroutine and reads files in as many as
// there are processors. It removes from want what it meets.
func compareTree(ctx context.Context, root string, want map[string]*Entry) ([]Difference, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		workers sync.WaitGroup
		mu      sync.Mutex
		diffs   []Difference
	)
	files := make(chan *inspection, 64)
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			r := newInspector()
			for f := range files {
				if err := r.inspect(ctx, f); err != nil {
					cancel(fmt.Errorf("%s: %w", f.got.Path, err))
					continue
				}
				if keywords := differ(f.want, f.got); len(keywords) > 0 {
					mu.Lock()
					diffs = append(diffs, Difference{Path: f.got.Path, Kind: "changed", Keywords: keywords})
					mu.Unlock()
				}
			}
		})
	}
	var extra []Difference
	err := walkTree(root, func(f *found) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		w, ok := want[f.path]
		if !ok {
			extra = append(extra, Difference{Path: f.path, Kind: "extra"})
			return nil
		}
		delete(want, f.path)
		i, err := f.describe()
		if err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
		i.want = w
		files <- i
		return nil
	})
	close(files)
	workers.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return append(diffs, extra...), err
}

// describe makes an entry of what a file shows without being read, and opens
// those that must be.
func (f *found) describe() (*inspection, error) {
	e := &Entry{
		Path: f.path, Type: typeOf[f.stat.Mode&unix.S_IFMT], Mode: f.stat.Mode & 0o7777,
		UID: f.stat.Uid, GID: f.stat.Gid, Size: f.stat.Size, NLink: uint32(f.stat.Nlink), MTime: f.stat.Mtim.Sec,
	}
	i := &inspection{got: e, fd: -1, stat: f.stat}
	switch e.Type {
	case Char, Block:
		e.Major, e.Minor = unix.Major(f.stat.Rdev), unix.Minor(f.stat.Rdev)
	case Symlink:
		target := make([]byte, 4096)
		n, err := unix.Readlinkat(f.dir, f.name, target)
		if err != nil {
			return nil, fmt.Errorf("read link: %w", err)
		}
		e.Link = string(target[:n])
	case Dir, File:
		var err error
		i.fd, err = unix.Openat(f.dir, f.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.EACCES) && f.isBare() {
			e.SHA256 = sha256.Sum256(nil)
			return i, nil
		}
		if err != nil {
			return nil, fmt.Errorf("open: %w", err)
		}
	}
	return i, nil
}

// isBare reports whether there is nothing to read in a file, nor in attributes
// of it: such files stand for devices where only root could make these, and
// their owner may not open them.
func (f *found) isBare() bool {
	if f.stat.Mode&unix.S_IFMT != unix.S_IFREG || f.stat.Size > 0 {
		return false
	}
	n, err := unix.Llistxattr(fmt.Sprintf("/proc/self/fd/%d/%s", f.dir, f.name), nil)
	return err == nil && n == 0 || errors.Is(err, unix.EOPNOTSUPP)
}

var typeOf = map[uint32]Type{
	unix.S_IFDIR: Dir, unix.S_IFREG: File, unix.S_IFLNK: Symlink, unix.S_IFIFO: Fifo,
	unix.S_IFCHR: Char, unix.S_IFBLK: Block, unix.S_IFSOCK: Socket,
}

// inspector reads files, one at a time, with buffers of its own.
type inspector struct {
	sum    hash.Hash
	buffer []byte
}

// maxXattr is the size of the longest value, and of the longest list of names,
// that the kernel knows.
const maxXattr = 64 << 10

func newInspector() *inspector {
	return &inspector{sum: sha256.New(), buffer: make([]byte, 2*maxXattr)}
}

// inspect completes the entry by what the open file holds. Between the walk's
// two calls somebody may have put another kind of file there: it is not read.
// Once the context is done the file is only closed.
func (r *inspector) inspect(ctx context.Context, i *inspection) error {
	if i.fd < 0 {
		return nil
	}
	defer unix.Close(i.fd)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var st unix.Stat_t
	if err := unix.Fstat(i.fd, &st); err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	if st.Ino != i.stat.Ino || st.Dev != i.stat.Dev {
		return errors.New("it was replaced while it was being read")
	}
	var err error
	if i.got.Xattrs, err = r.xattrs(i.fd); err != nil {
		return err
	}
	if i.got.Type != File || i.want.NoSHA256 {
		return nil
	}
	r.sum.Reset()
	if err := r.hash(ctx, i.fd, &st); err != nil {
		return err
	}
	r.sum.Sum(i.got.SHA256[:0])
	return nil
}

// hash reads the file; of one with holes only what is between them.
func (r *inspector) hash(ctx context.Context, fd int, st *unix.Stat_t) error {
	if st.Blocks*512 >= st.Size {
		return r.hashRange(ctx, fd, math.MaxInt64)
	}
	for at := int64(0); at < st.Size; {
		data, end := sparse.NextData(fd, at, st.Size)
		if _, err := sparse.WriteZeros(r.sum, data-at, func() error { return context.Cause(ctx) }); err != nil {
			return err
		}
		if _, err := unix.Seek(fd, data, unix.SEEK_SET); err != nil {
			return fmt.Errorf("seek: %w", err)
		}
		if err := r.hashRange(ctx, fd, end-data); err != nil {
			return err
		}
		at = end
	}
	return nil
}

// hashRange reads n bytes, or fewer at the end of the file.
func (r *inspector) hashRange(ctx context.Context, fd int, n int64) error {
	for n > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		k, err := unix.Read(fd, r.buffer[:min(n, int64(len(r.buffer)))])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("read: %w", err)
		case k == 0:
			return nil
		}
		r.sum.Write(r.buffer[:k])
		n -= int64(k)
	}
	return nil
}

// xattrs reads all but those that the host sets by itself.
func (r *inspector) xattrs(fd int) ([]Xattr, error) {
	list, value := r.buffer[:maxXattr], r.buffer[maxXattr:]
	n, err := unix.Flistxattr(fd, list)
	if errors.Is(err, unix.EOPNOTSUPP) || err == nil && n == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list xattrs: %w", err)
	}
	var all []Xattr
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list[:n]), "\x00"), "\x00") {
		if name == "security.selinux" || name == "system.nfs4_acl" {
			continue
		}
		n, err := unix.Fgetxattr(fd, name, value)
		if errors.Is(err, unix.ENODATA) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read xattr %s: %w", name, err)
		}
		all = append(all, Xattr{name, string(value[:n])})
	}
	slices.SortFunc(all, func(a, b Xattr) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}
