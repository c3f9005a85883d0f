package layer

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// adopt describes what lies on the disk.
func adopt(fd int, ino *inode) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	ino.adopt(&st)
	return nil
}

func (ino *inode) adopt(st *unix.Stat_t) {
	ino.mode = uint16(st.Mode & 0o7777)
	ino.uid, ino.gid = st.Uid, st.Gid
	ino.mtime = timespec{st.Mtim.Sec, int32(st.Mtim.Nsec)}
	ino.nlink, ino.size = 1, st.Size
	ino.written.Store(true)
}

// kindOf maps the type bits of a mode. A socket counts as a fifo: it is
// something that a layer can only replace.
var kindOf = map[uint32]byte{
	unix.S_IFDIR: flagDir, unix.S_IFREG: flagRegular, unix.S_IFLNK: flagSymlink, unix.S_IFIFO: flagFifo,
	unix.S_IFSOCK: flagFifo, unix.S_IFCHR: flagChar, unix.S_IFBLK: flagBlock,
}

// children adds what an existing directory holds to the tree.
func (d *disk) children(n *node) error {
	h, err := d.open.open(n)
	if err != nil {
		return err
	}
	names, err := readNames(h.fd)
	if err != nil {
		return fmt.Errorf("read directory %s: %w", n.path(), err)
	}
	inodes := make(map[uint64]*inode)
	for _, name := range names {
		var st unix.Stat_t
		if err := unix.Fstatat(h.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			if errors.Is(err, unix.ENOENT) {
				continue
			}
			return fmt.Errorf("stat %s/%s: %w", n.path(), name, err)
		}
		c := &node{name: name, parent: n, ino: &inode{kind: kindOf[st.Mode&unix.S_IFMT]}, touched: never, explicit: never}
		c.ino.adopt(&st)
		switch c.ino.kind {
		case flagDir:
			c.dir = &directory{existing: true, unread: true}
		case flagSymlink:
			if c.ino.own().link, err = readlink(h.fd, name); err != nil {
				return fmt.Errorf("read link %s/%s: %w", n.path(), name, err)
			}
		default:
			if same, ok := inodes[st.Ino]; ok {
				c.ino = same
				same.nlink++
			}
			inodes[st.Ino] = c.ino
		}
		n.dir.add(c)
	}
	return nil
}

func readlink(dir int, name string) (string, error) {
	buf := make([]byte, maxTarget+1)
	n, err := unix.Readlinkat(dir, name, buf)
	return string(buf[:max(0, n)]), err
}

// readNames lists an open directory through a descriptor of its own, whose
// position nobody else moves.
func readNames(fd int) ([]string, error) {
	own, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(own), "fd/"+strconv.Itoa(fd))
	defer f.Close()
	return f.Readdirnames(-1)
}
