package confine

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// forbidden are the calls that could take the wall down again, reach other
// processes, or leave the machine. No work on an image needs one of them.
var forbidden = []uint32{
	unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV,
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT,
	unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR,
	unix.SYS_SETNS, unix.SYS_UNSHARE, unix.SYS_SOCKET, unix.SYS_SOCKETPAIR,
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_OPEN_BY_HANDLE_AT,
	unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_REBOOT,
	unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY,
	unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_IO_URING_SETUP,
}

// lock forbids the calls to every thread, for good. They fail with EPERM, so
// that a mistake shows as an error. It is applied after the wall, which needs
// some of them.
func lock() error {
	// The kernel takes no_new_privs from the thread that installs the filter.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	if auditArch == 0 {
		return nil
	}
	program := filter()
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	if errno == unix.ENOSYS || errno == unix.EINVAL {
		return nil // a kernel without seccomp: the wall stands without it
	}
	if errno != 0 {
		return fmt.Errorf("install the seccomp filter: %w", errno)
	}
	return nil
}

// filter is a classic BPF program over struct seccomp_data: the number of the
// call is its first word, the architecture its second.
func filter() []unix.SockFilter {
	const (
		load  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		leave = unix.BPF_RET | unix.BPF_K
	)
	program := []unix.SockFilter{
		{Code: load, K: 4},
		{Code: equal, K: auditArch, Jt: 1},
		{Code: leave, K: unix.SECCOMP_RET_KILL_PROCESS}, // calls of another architecture
		{Code: load, K: 0},
	}
	// The x32 calls of amd64 have numbers of their own; nobody needs them.
	program = append(program, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, K: 1 << 30, Jt: uint8(len(forbidden) + 1)})
	for i, call := range forbidden {
		program = append(program, unix.SockFilter{Code: equal, K: call, Jt: uint8(len(forbidden) - i)})
	}
	return append(program,
		unix.SockFilter{Code: leave, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: leave, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)})
}
