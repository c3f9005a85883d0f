// Package startup makes the start of a short process cheap. A stage of the
// pipe lives for some milliseconds, and where an exception is dear (16 µs in
// some virtual machines) most of them go into page faults: the Go heap is
// touched one 4 KiB page after another, some 300 times before the work begins.
// There, one huge page takes the place of these faults.
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
	if _, lean := syscall.Getenv(Lean); !lean && faultsAreDear() {
		backHeap(unsafe.Pointer(new([64]byte)))
	}
}

// dearFault is the CPU time of this process per page fault, in microseconds,
// above which a huge page is cheaper than what it replaces: it has to be zeroed,
// which costs as much as 100 faults of 3 µs. Until here a process does little
// but fault: 8 µs per fault on a machine whose faults take 1, and more than 20
// where they take 16.
const dearFault = 15

func faultsAreDear() bool {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		return false
	}
	spent := (use.Utime.Sec+use.Stime.Sec)*1_000_000 + use.Utime.Usec + use.Stime.Usec
	return spent > dearFault*use.Minflt
}

// backHeap puts a huge page beneath the part of the heap that is in use, and
// asks for more of them behind it. That is advice: a kernel that cannot follow
// it changes nothing, so the results do not matter.
func backHeap(inHeap unsafe.Pointer) {
	start := uintptr(inHeap) &^ (hugePage - 1)
	_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, start, hugePage, madvCollapse)
	_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, start+hugePage, hugePage, madvHugePage)
}
