// Package calm keeps the watchdog of the Go runtime (sysmon) asleep. It is a
// thread that wakes up every 20 µs to look for system calls that block; in a
// tool that lives for ten milliseconds half of all switches are its own. The
// kernel lets a thread sleep longer than it asked: by its timer slack.
//
// A program imports the package for this effect. A thread that sysmon starts
// inherits the slack, and so would what that one starts: see slack.Punctual.
package calm

import (
	"strconv"
	"syscall"
	"unsafe"
)

// slack is in nanoseconds. A system call that really blocks keeps the
// processor from other goroutines for as long.
var slack = [...]byte{'1', '0', '0', '0', '0', '0', '0'} //nolint:gochecknoglobals // the kernel wants its address

func init() { calm() } //nolint:gochecknoinits // the earlier, the better

// calm sets the slack of all threads but the first: that is how many the
// runtime has started, before it ran the first initialiser. Another thread's
// slack is root's to set (CAP_SYS_NICE); where it cannot be, nothing is lost.
//
// All calls are raw, and all memory is on the stack: the ways of package os
// would cost as much as the wake-ups.
func calm() {
	dir := open("/proc/self/task", syscall.O_DIRECTORY)
	if dir < 0 {
		return
	}
	var buf [512]byte
	n, _, errno := syscall.RawSyscall(syscall.SYS_GETDENTS64, uintptr(dir), uintptr(unsafe.Pointer(&buf)), unsafe.Sizeof(buf))
	closeRaw(dir)
	if errno != 0 {
		return
	}
	first := syscall.Getpid()
	for at := uintptr(0); at < n; {
		entry := (*syscall.Dirent)(unsafe.Pointer(&buf[at]))
		at += uintptr(entry.Reclen)
		var name [20]byte
		length := 0
		for length < len(name) && entry.Name[length] != 0 {
			name[length] = byte(entry.Name[length])
			length++
		}
		thread, err := strconv.Atoi(string(name[:length]))
		if err == nil && thread != first {
			setSlack(thread)
		}
	}
}

// setSlack writes to a file of the thread that is not below /proc/self/task.
func setSlack(thread int) {
	f := open("/proc/"+strconv.Itoa(thread)+"/timerslack_ns", syscall.O_WRONLY)
	if f < 0 {
		return
	}
	_, _, _ = syscall.RawSyscall(syscall.SYS_WRITE, uintptr(f), uintptr(unsafe.Pointer(&slack)), unsafe.Sizeof(slack))
	closeRaw(f)
}

// open returns a descriptor, or -1.
func open(path string, flags int) int {
	var name [64]byte
	copy(name[:len(name)-1], path)
	const here = -100 // AT_FDCWD
	at := here
	fd, _, errno := syscall.RawSyscall6(syscall.SYS_OPENAT, uintptr(at), uintptr(unsafe.Pointer(&name)), uintptr(flags|syscall.O_CLOEXEC), 0, 0, 0)
	if errno != 0 {
		return -1
	}
	return int(fd)
}

func closeRaw(fd int) { _, _, _ = syscall.RawSyscall(syscall.SYS_CLOSE, uintptr(fd), 0, 0) }
