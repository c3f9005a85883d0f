package spec

import "golang.org/x/sys/unix"

// noX32 asks for the process id by way of the x32 ABI, whose calls have
// __X32_SYSCALL_BIT set. Most kernels are built without it.
func noX32() bool {
	const x32 = 0x40000000
	_, _, errno := unix.RawSyscall(x32|unix.SYS_GETPID, 0, 0, 0)
	return errno == unix.ENOSYS
}
