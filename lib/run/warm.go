package run

import (
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// WarmCgroups has the kernel get ready for what a runtime does with cgroups.
// Who moves a process to one locks all forks out; the first to do so
// waits until no processor reads by that lock's cheap form any more, an RCU
// grace period or two (percpu_down_write in kernel/cgroup/cgroup.c), 8 to 16
// ms. Those that come soon after it need not. The call returns at once, so that
// the wait goes by while there is other work.
func WarmCgroups() {
	go func() { moveThread(cgroupsOf("self")) }()
}

// moveThread moves the calling thread to the first of the cgroups that it may
// move it to, which it should be in, and ends it with the goroutine: a process
// that was moved elsewhere meanwhile is not moved back.
func moveThread(cgroups []string) {
	runtime.LockOSThread() // without an end, so it is the thread's
	for _, dir := range cgroups {
		for _, name := range []string{"tasks", "cgroup.threads"} { // v1, v2
			fd, err := unix.Open(filepath.Join(dir, name), unix.O_WRONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				continue
			}
			_, err = unix.Write(fd, []byte(strconv.Itoa(unix.Gettid())))
			_ = unix.Close(fd)
			if err == nil {
				return
			}
		}
	}
}
