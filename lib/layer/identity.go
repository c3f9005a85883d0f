package layer

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Identity is what statx(2) says of a file once it is whole: by it a later
// reader knows the file again, and whether it was touched since.
type Identity struct {
	Ino          uint64
	Size         int64
	Btime        int64 // of the inode, in nanoseconds; 0 where the file system does not tell
	Ctime        int64 // in nanoseconds
	Major, Minor uint32
	Mode         uint16 // type and permissions
}

// identitiesPerSlab are allocated at once: there is one for each file.
const identitiesPerSlab = 256

// identities makes Identity values. One goroutine owns it.
type identities struct {
	stat unix.Statx_t
	slab []Identity
}

// of returns the identity of name in the directory fd or, without a name, of
// fd itself.
func (s *identities) of(fd int, name string) (*Identity, error) {
	flags := unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
	if name == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	if err := eintr(func() error {
		return unix.Statx(fd, name, flags, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &s.stat)
	}); err != nil {
		return nil, fmt.Errorf("stat: %w", err)
	}
	if len(s.slab) == 0 {
		s.slab = make([]Identity, identitiesPerSlab)
	}
	id := &s.slab[0]
	s.slab = s.slab[1:]
	*id = Identity{
		Ino: s.stat.Ino, Size: int64(s.stat.Size), Ctime: nanoseconds(s.stat.Ctime),
		Major: s.stat.Dev_major, Minor: s.stat.Dev_minor, Mode: s.stat.Mode,
	}
	if s.stat.Mask&unix.STATX_BTIME != 0 {
		id.Btime = nanoseconds(s.stat.Btime)
	}
	return id, nil
}

func nanoseconds(t unix.StatxTimestamp) int64 { return t.Sec*1e9 + int64(t.Nsec) }

// identify notes the identity of an inode that is made, in the one place that
// changed it last.
func (d *disk) identify(ino *inode, s *identities, fd int, name string) error {
	if !d.opt.Identities {
		return nil
	}
	id, err := s.of(fd, name)
	if err != nil {
		return err
	}
	ino.identity = id
	return nil
}

// Directory is one directory of the tree that Unpack has made.
type Directory struct {
	Depth int
	Name  string // its own, "." for the root
	node  *node
}

// Self is the identity of the directory, nil when it is not known.
func (d Directory) Self() *Identity { return d.node.ino.identity }

// Entries calls visit with what is in the directory, in the order of names. An
// identity is nil when it is not known: a file may have lost one of its names
// since.
func (d Directory) Entries(visit func(name string, id *Identity)) {
	for _, n := range d.node.dir.children {
		visit(n.name, n.ino.identity)
	}
}

// Directories calls visit with each directory, parents first. It may run at
// the same time as WriteManifest.
func (r *Result) Directories(visit func(Directory) error) error {
	depth := 0
	return r.tree.root.walk(func(n *node) error {
		depth++
		if n.dir == nil {
			return nil
		}
		return visit(Directory{Depth: depth - 1, Name: n.name, node: n})
	}, func(*node) error {
		depth--
		return nil
	})
}
