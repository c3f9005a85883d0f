package mtree

// Type is the value of the keyword type.
type Type string

// The types of files. mtree has no word for a whiteout, and none is needed.
const (
	Dir     Type = "dir"
	File    Type = "file"
	Symlink Type = "link"
	Fifo    Type = "fifo"
	Char    Type = "char"
	Block   Type = "block"
	Socket  Type = "socket"
)

// Entry is one file of a manifest.
type Entry struct {
	// Path is relative to the root of the tree; the root itself is ".".
	Path string
	Type Type
	// Mode is the low twelve bits.
	Mode uint32
	// UID and GID are those of the file on the host.
	UID, GID uint32
	// Size in bytes, NLink and SHA256 are those of regular files; NLink
	// counts for other files that are not directories, too.
	Size   int64
	NLink  uint32
	SHA256 [32]byte
	// NoSHA256 says that the digest is not known.
	NoSHA256 bool
	// MTime is whole seconds since the epoch, the fraction cut off.
	MTime int64
	// Link is the target of a symlink, byte for byte.
	Link string
	// Major and Minor are those of a device.
	Major, Minor uint32
	// Xattrs are sorted by name. Files other than directories and regular
	// ones have none in a manifest, since gomtree does not read theirs.
	Xattrs []Xattr
}

// Xattr is an extended attribute.
type Xattr struct {
	Name  string
	Value string
}
