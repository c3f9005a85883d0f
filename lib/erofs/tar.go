package erofs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
)

// Tar returns the archive in the image. Its superblock is verified; whether
// the archive is the one that was put in says its digest.
func Tar(image io.ReaderAt) (*io.SectionReader, error) {
	b := make([]byte, BlockSize)
	if _, err := image.ReadAt(b, superOffset); err != nil {
		return nil, fmt.Errorf("read superblock: %w", err)
	}
	sum := binary.LittleEndian.Uint32(b[4:])
	binary.LittleEndian.PutUint32(b[4:], 0)
	switch {
	case binary.LittleEndian.Uint32(b) != magic:
		return nil, fmt.Errorf("not an erofs image: magic is %#x", binary.LittleEndian.Uint32(b))
	case sum != checksum(b):
		return nil, fmt.Errorf("superblock has checksum %#x, not %#x", checksum(b), sum)
	}
	text := string(bytes.TrimRight(b[64:80], "\x00"))
	size, err := strconv.ParseInt(text, 10, 64)
	if err != nil || size < 0 {
		return nil, fmt.Errorf("the image holds no archive: its name is %q", text)
	}
	return io.NewSectionReader(image, Start, size), nil
}
