package confine

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kept are the capabilities that making other people's files needs. The last
// one is for trusted.* attributes; what else it allows, the filter forbids.
const kept = 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_FOWNER | 1<<unix.CAP_FSETID |
	1<<unix.CAP_MKNOD | 1<<unix.CAP_SETFCAP | 1<<unix.CAP_SYS_ADMIN

// dropCapabilities leaves what is kept, in every thread.
func dropCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("read the capabilities: %w", err)
	}
	for i := range sets {
		mask := uint32(uint64(kept) >> (32 * i))
		sets[i].Effective &= mask
		sets[i].Permitted &= mask
		sets[i].Inheritable = 0
	}
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET,
		uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&sets[0])), 0)
	switch {
	case errors.Is(errno, unix.ENOTSUP) && raceDetector:
		return nil
	case errors.Is(errno, unix.ENOTSUP):
		return errors.New("drop capabilities: this program was built with cgo, which cannot; build it with CGO_ENABLED=0")
	case errno != 0:
		return fmt.Errorf("drop capabilities: %w", errno)
	}
	return nil
}
