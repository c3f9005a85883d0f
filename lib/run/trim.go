package run

import (
	"bytes"
	"fmt"
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// A monitor lives long and makes little garbage. The collector, which by
// default waits for four megabytes of it, begins earlier, and the Go runtime
// keeps less for later.
const (
	monitorGC    = 20
	monitorLimit = 4 << 20
)

// trim gives back the memory of a process that is going to sleep: the heap of
// its start, and the pages of the program file. The latter are shared and come
// back from the page cache when they are touched; only few are.
func trim() {
	debug.SetGCPercent(monitorGC)
	debug.SetMemoryLimit(monitorLimit)
	debug.FreeOSMemory()
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for line := range bytes.Lines(maps) {
		if !bytes.HasSuffix(bytes.TrimSpace(line), []byte(exe)) {
			continue
		}
		var from, to uintptr
		var mode string
		if n, _ := fmt.Sscanf(string(line), "%x-%x %s", &from, &to, &mode); n != 3 || mode != "r-xp" && mode != "r--p" {
			continue
		}
		// A private mapping that was never written has nothing to lose.
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED)
	}
}
