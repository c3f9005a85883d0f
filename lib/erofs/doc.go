// Package erofs makes an erofs image around a tar archive: the archive stands
// in the image byte for byte, and the metadata behind it points into it.
//
//	0       superblock at 1024, the rest zeros
//	4096    the archive, padded to a block
//	M       inodes, from byte 64 on, so that no inode has the number 0
//	…       directories, long symlink targets; padded to 4096
//
// The bodies of files in a tar begin at multiples of 512 bytes, and so do the
// blocks of this image: a regular file is a run of blocks in the archive, and
// nothing is copied. The file is written once, from front to back but for the
// superblock, synced once, deleted by one unlink; and the exact archive can be
// cut out again, whose digest is the layer's diffID.
//
// The format is that of the kernel's Documentation/filesystems/erofs.rst and
// fs/erofs/erofs_fs.h, without compression, with extended inodes and inline
// attributes. Blocks of less than a page need Linux 6.4.
package erofs

import "errors"

const (
	// BlockSize is the size of a block of the image.
	BlockSize = 512
	// Start is where the archive begins in the image.
	Start = 4096

	superOffset = 1024
	superSize   = 128
	magic       = 0xE0F5E1E2
	// firstInode is the offset of the root in the inode area: readdir leaves
	// out what has the number 0.
	firstInode = 64
	inodeSize  = 64
	slotSize   = 32
)

// ErrNotPossible is a tree that this format cannot hold: attributes of a
// namespace without a number, an image beyond 2 TiB. Store it otherwise.
var ErrNotPossible = errors.New("erofs cannot hold it")
