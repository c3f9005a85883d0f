package layer

import (
	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
)

// entry is one member of an archive, with every number in range.
type entry struct {
	name string // as the archive has it
	link string // target of a symlink or hard link
	kind byte   // one of the type flags below

	mode     uint16 // the low twelve bits
	uid, gid uint32 // of the image
	mtime    timespec
	size     int64 // of the file; what the archive stores may be less
	major    uint32
	minor    uint32
	xattrs   []xattr
	regions  []region // of a sparse file, ascending; nil for an ordinary one
	sparse   bool

	stored int64 // bytes of the body that are left in the archive
}

// The type flags that an entry may have; all others are resolved or refused
// by the parser (POSIX pax, "ustar Interchange Format").
const (
	flagRegular  = '0'
	flagHardlink = '1'
	flagSymlink  = '2'
	flagChar     = '3'
	flagBlock    = '4'
	flagDir      = '5'
	flagFifo     = '6'
)

// timespec is a time as the kernel takes it. A count of nanoseconds would
// overflow in the year 2262.
type timespec struct {
	sec  int64
	nsec int32
}

// xattr is an extended attribute.
type xattr struct {
	name  string
	value string
}

// region is a stretch of a sparse file that has data.
type region struct{ offset, length int64 }

// The limits of what one entry may hold.
const (
	maxHeaders   = 1 << 20 // bytes of PAX records or of a GNU long name
	maxRegions   = 1 << 16
	maxXattrName = 255
	maxXattr     = 64 << 10
	maxXattrs    = 1 << 20
	maxComponent = 255
	maxTarget    = 4095
	maxDepth     = 16384
	maxID        = idmap.MaxID
	maxMajor     = 1<<12 - 1
	maxMinor     = 1<<20 - 1
)
