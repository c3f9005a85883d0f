package layer

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of a big page of most processors. Where it is another
// one, the advice below is without effect.
const hugePage = 2 << 20

// slab is what chunks are cut from. The kernel is asked to back it with big
// pages: one page fault then stands for five hundred, which is most of the
// time that a small image takes.
type slab struct {
	mu   sync.Mutex
	rest []byte
}

func (s *slab) cut() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.rest) < chunkSize {
		s.rest = hugeBytes()
	}
	b := s.rest[:chunkSize:chunkSize]
	s.rest = s.rest[chunkSize:]
	return b
}

// hugeBytes returns one big page. Twice as much is allocated, since only an
// aligned one will do; what is never touched is never there.
func hugeBytes() []byte {
	b := make([]byte, 2*hugePage)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(b))) % hugePage
	b = b[skip:][:hugePage]
	_ = unix.Madvise(b, unix.MADV_HUGEPAGE) // advice
	return b
}
