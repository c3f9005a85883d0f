package erofs

// Inode is a file of the image. Names that share one are hard links.
type Inode struct {
	// Mode holds type and permissions, as in struct stat.
	Mode     uint32
	UID, GID uint32
	// Sec and Nsec are the modification time.
	Sec  int64
	Nsec uint32
	// Size and Data are those of a regular file: its bytes, and where they
	// begin in the archive, at a multiple of BlockSize.
	Size, Data int64
	// Major and Minor are those of a device.
	Major, Minor uint32
	// Target is that of a symlink.
	Target string
	// Xattrs are the extended attributes.
	Xattrs []Xattr
	// Entries are those of a directory, without "." and "..", in any order.
	Entries []Entry

	placed bool
	nid    uint64
	number uint32 // the inode number that stat shows
	links  uint32
	parent *Inode // of a directory
	xattrs []byte
	inline bool
	// bytes and blocks are the size and the first block of what is not in
	// the archive: a directory, a long target.
	bytes int64
	block uint32
}

// Entry is a name in a directory.
type Entry struct {
	Name  string
	Inode *Inode
}

// Xattr is an extended attribute with its full name.
type Xattr struct{ Name, Value string }

// The types of files in Mode and in directory entries.
const (
	typeMask = 0o170000
	fifo     = 0o010000
	char     = 0o020000
	dir      = 0o040000
	block    = 0o060000
	regular  = 0o100000
	symlink  = 0o120000
)

// entryType is the type as a directory entry has it.
func (n *Inode) entryType() byte {
	switch n.Mode & typeMask {
	case regular:
		return 1
	case dir:
		return 2
	case char:
		return 3
	case block:
		return 4
	case fifo:
		return 5
	case symlink:
		return 7
	}
	return 0
}
