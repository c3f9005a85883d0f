package spec

import "syscall"

// noX32 asks for the process id by way of the x32 ABI, whose calls have
// __X32_SYSCALL_BIT set. Most kernels are built without it.
func noX32() bool {
	const x32 = 0x40000000
	_, _, errno := syscall.RawSyscall(x32|syscall.SYS_GETPID, 0, 0, 0)
	return errno == syscall.ENOSYS
}
