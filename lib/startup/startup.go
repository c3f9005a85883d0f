// Package startup makes the start of a short process cheap. A stage of the
// pipe lives for some milliseconds, and most of them go into page faults: the
// Go heap is touched one 4 KiB page after another, each at the price of an
// exception (16 µs in a virtual machine), some 300 times before the work
// begins. One huge page takes the place of these faults.
package startup

import (
	"syscall"
	"unsafe"
)

const (
	// hugePage is the size of a huge page where the base page is 4 KiB. Where
	// it is larger, the kernel refuses the range, and nothing is lost.
	hugePage = 2 << 20
	// madvHugePage and madvCollapse are from linux/mman.h; the second exists
	// since Linux 6.1.
	madvHugePage = 14
	madvCollapse = 25
)

// Lean is the environment variable that keeps a process at its smallest: a
// monitor that lives for weeks counts its memory, not its start.
const Lean = "OCI_PLUMBING_LEAN"

// The initialisers of other packages allocate too, so this one is to run
// before theirs: it imports nothing but syscall, and packages that are ready
// are initialised in the order of their paths (Go spec, "Package
// initialization").
func init() { //nolint:gochecknoinits // see above
	if _, lean := syscall.Getenv(Lean); !lean {
		backHeap(unsafe.Pointer(new([64]byte)))
	}
}

// backHeap puts a huge page beneath the part of the heap that is in use, and
// asks for more of them behind it. That is advice: a kernel that cannot follow
// it changes nothing, so the results do not matter.
func backHeap(inHeap unsafe.Pointer) {
	start := uintptr(inHeap) &^ (hugePage - 1)
	_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, start, hugePage, madvCollapse)
	_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, start+hugePage, hugePage, madvHugePage)
}
