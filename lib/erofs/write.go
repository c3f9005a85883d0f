package erofs

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Write puts the metadata of the tree behind the archive of tarSize bytes that
// stands in f from Start on, and the superblock, last, in front of it.
func Write(f io.WriterAt, tarSize int64, root *Inode) error {
	w := writer{file: f, meta: up(Start + tarSize), root: root}
	if err := w.place(); err != nil {
		return err
	}
	end, err := w.metadata()
	if err != nil {
		return fmt.Errorf("write metadata: %w", err)
	}
	if _, err := f.WriteAt(w.super(tarSize, end), 0); err != nil {
		return fmt.Errorf("write superblock: %w", err)
	}
	return nil
}

// up rounds up to whole blocks.
func up(n int64) int64 { return (n + BlockSize - 1) &^ (BlockSize - 1) }

type writer struct {
	file io.WriterAt
	root *Inode
	meta int64 // where the inode area begins
	// order holds each inode once, the root first.
	order  []*Inode
	inodes int64 // bytes of the inode area
	blocks int64 // of everything, once placed
	names  []Entry
}

// place gives every inode its position and every directory its blocks.
func (w *writer) place() error {
	w.root.parent = w.root
	w.root.links = 1
	at := int64(firstInode)
	left := []*Inode{w.root}
	for len(left) > 0 {
		n := left[len(left)-1]
		left = left[:len(left)-1]
		n.placed = true
		w.order = append(w.order, n)
		var err error
		if at, err = n.position(at); err != nil {
			return err
		}
		n.number = uint32(len(w.order))
		// From the last on, so that the first is on top of the stack.
		slices.SortFunc(n.Entries, compareNames)
		for _, e := range slices.Backward(n.Entries) {
			e.Inode.links++
			if e.Inode.placed {
				continue
			}
			e.Inode.placed = true
			if e.Inode.Mode&typeMask == dir {
				e.Inode.parent = n
			}
			left = append(left, e.Inode)
		}
	}
	w.inodes = up(at)
	return w.placeData()
}

// position puts the inode at the next place at which it, and what is inline
// behind it, does not cross a block where it must not.
func (n *Inode) position(at int64) (next int64, err error) {
	if n.xattrs, err = encodeXattrs(n.Xattrs); err != nil {
		return 0, err
	}
	size := inodeSize + int64(len(n.xattrs))
	n.inline = n.Mode&typeMask == symlink && size+int64(len(n.Target)) <= BlockSize
	if n.inline {
		size += int64(len(n.Target))
		if at%BlockSize+size > BlockSize {
			at = up(at)
		}
	}
	n.nid = uint64(at / slotSize)
	return (at + size + inodeSize - 1) &^ (inodeSize - 1), nil
}

// placeData gives blocks to directories and long targets, behind the inodes.
func (w *writer) placeData() error {
	next := w.meta + w.inodes
	for _, n := range w.order {
		switch n.Mode & typeMask {
		case dir:
			n.bytes = w.dirSize(n)
		case symlink:
			n.bytes = int64(len(n.Target))
			if n.inline {
				continue
			}
		case regular:
			n.block = uint32((Start + n.Data) / BlockSize)
			continue
		default:
			continue
		}
		n.block = uint32(next / BlockSize)
		next += up(n.bytes)
	}
	w.blocks = (next + Start - 1) / Start * Start / BlockSize
	if w.blocks > math.MaxUint32 {
		return fmt.Errorf("an image of %d blocks: %w", w.blocks, ErrNotPossible)
	}
	return nil
}

const direntSize = 12

// dirBlocks spreads the names of a directory over blocks. "." and ".." are
// names like others, and all are sorted together: the kernel searches by
// halves. What it yields is valid until the next call.
func (w *writer) dirBlocks(n *Inode) iter.Seq[[]Entry] {
	w.names = append(w.names[:0], n.Entries...)
	for _, e := range []Entry{{".", n}, {"..", n.parent}} {
		at, _ := slices.BinarySearchFunc(w.names, e, compareNames)
		w.names = slices.Insert(w.names, at, e)
	}
	return func(yield func([]Entry) bool) {
		first, used := 0, 0
		for i, e := range w.names {
			need := direntSize + len(e.Name)
			if used+need > BlockSize {
				if !yield(w.names[first:i]) {
					return
				}
				first, used = i, 0
			}
			used += need
		}
		yield(w.names[first:])
	}
}

func compareNames(a, b Entry) int { return strings.Compare(a.Name, b.Name) }

// dirSize is that of the blocks: all are full but the last, which counts as
// far as it is used.
func (w *writer) dirSize(n *Inode) (size int64) {
	for entries := range w.dirBlocks(n) {
		size = up(size)
		for _, e := range entries {
			size += direntSize + int64(len(e.Name))
		}
	}
	return size
}

// metadata writes inodes, directories and targets in one go, and returns the
// size of the image.
func (w *writer) metadata() (end int64, err error) {
	buf := make([]byte, 0, BlockSize)
	out := &counter{Writer: bufio.NewWriterSize(io.NewOffsetWriter(w.file, w.meta), 256<<10)}
	for _, n := range w.order {
		out.padTo(int64(n.nid) * slotSize)
		buf = n.encode(buf[:0])
		out.write(buf)
		out.write(n.xattrs)
		if n.inline {
			out.write([]byte(n.Target))
		}
	}
	out.padTo(w.inodes)
	for _, n := range w.order {
		switch {
		case n.Mode&typeMask == dir:
			for entries := range w.dirBlocks(n) {
				buf = encodeBlock(buf[:0], entries)
				out.write(buf)
				out.padTo(up(out.n))
			}
		case n.Mode&typeMask == symlink && !n.inline:
			out.write([]byte(n.Target))
			out.padTo(up(out.n))
		}
	}
	out.padTo(w.blocks*BlockSize - w.meta)
	if out.err == nil {
		out.err = out.Flush()
	}
	return w.blocks * BlockSize, out.err
}

// counter writes until the first error, and knows where it is.
type counter struct {
	*bufio.Writer
	n     int64
	err   error
	zeros [BlockSize]byte
}

func (c *counter) write(b []byte) {
	if c.err == nil {
		_, c.err = c.Write(b)
	}
	c.n += int64(len(b))
}

func (c *counter) padTo(n int64) {
	for c.n < n && c.err == nil {
		c.write(c.zeros[:min(n-c.n, BlockSize)])
	}
}

// encode appends the extended inode (struct erofs_inode_extended).
func (n *Inode) encode(b []byte) []byte {
	const (
		extended   = 1
		flatInline = 2 << 1
	)
	b = append(b, make([]byte, inodeSize)...)
	le := binary.LittleEndian
	format, size, where := uint16(extended), n.Size, n.block
	switch n.Mode & typeMask {
	case dir, symlink:
		size = n.bytes
		if n.inline {
			format |= flatInline
			where = 0
		}
	case char, block:
		where = n.Minor&0xff | n.Major<<8 | n.Minor&^0xff<<12
	}
	le.PutUint16(b, format)
	if len(n.xattrs) > 0 {
		le.PutUint16(b[2:], uint16((len(n.xattrs)-xattrHeader)/4+1))
	}
	le.PutUint16(b[4:], uint16(n.Mode))
	le.PutUint64(b[8:], uint64(size))
	le.PutUint32(b[16:], where)
	le.PutUint32(b[20:], n.number)
	le.PutUint32(b[24:], n.UID)
	le.PutUint32(b[28:], n.GID)
	le.PutUint64(b[32:], uint64(n.Sec))
	le.PutUint32(b[40:], n.Nsec)
	le.PutUint32(b[44:], n.linkCount())
	return b
}

// linkCount is what stat shows: a directory has its name, its ".", and the
// ".." of each directory in it.
func (n *Inode) linkCount() uint32 {
	if n.Mode&typeMask != dir {
		return n.links
	}
	count := uint32(2)
	for _, e := range n.Entries {
		if e.Inode.Mode&typeMask == dir {
			count++
		}
	}
	return count
}

// encodeBlock appends one block of a directory: an array of fixed entries, then
// the names.
func encodeBlock(b []byte, entries []Entry) []byte {
	offset := len(entries) * direntSize
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint64(b, e.Inode.nid)
		b = binary.LittleEndian.AppendUint16(b, uint16(offset))
		b = append(b, e.Inode.entryType(), 0)
		offset += len(e.Name)
	}
	for _, e := range entries {
		b = append(b, e.Name...)
	}
	return b
}

// super makes all that is in front of the archive. The volume name keeps the
// size of the archive, which need not be whole blocks.
func (w *writer) super(tarSize, end int64) []byte {
	const (
		checksummed = 1 << 0
		modified    = 1 << 1 // the time of an inode is its modification time
	)
	head := make([]byte, Start)
	b := head[superOffset:]
	le := binary.LittleEndian
	le.PutUint32(b, magic)
	le.PutUint32(b[8:], checksummed|modified)
	b[12] = 9 // 1<<9 is BlockSize
	le.PutUint16(b[14:], uint16(w.root.nid))
	le.PutUint64(b[16:], uint64(len(w.order)))
	le.PutUint32(b[36:], uint32(end/BlockSize))
	le.PutUint32(b[40:], uint32(w.meta/BlockSize))
	copy(b[64:80], strconv.FormatInt(tarSize, 10))
	le.PutUint32(b[4:], checksum(b))
	return head
}

// checksum is that of the block that begins with the superblock, in which the
// checksum itself is zero: CRC-32C without the final inversion.
func checksum(b []byte) uint32 {
	return ^crc32.Checksum(b[:BlockSize], crc32.MakeTable(crc32.Castagnoli))
}
