package run

import (
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// WarmCgroups has the kernel get ready for what a runtime does with cgroups.
// Who moves a process to one locks all forks out. The first to do so waits until
// no processor uses the cheap form of that lock any more, an RCU grace period or
// two (percpu_down_write in kernel/cgroup/cgroup.c), 8 to 16 ms; those that come
// soon after it need not. The call returns at once, so that the wait goes by
// while there is other work.
func WarmCgroups() { warm(cgroupMounts()) }

func warm(mounts []cgroupMount) {
	go func() { moveThread(cgroupsOf("self", mounts)) }()
}

// moveThread has a thread move itself to the first of the cgroups that it may
// move to, which should be the one it is in, and end: a process that was moved
// elsewhere meanwhile is not moved back. So it is not the first thread, whose
// cgroup counts as that of the process, and which Go does not end.
func moveThread(cgroups []string) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		defer runtime.UnlockOSThread()
		done := make(chan struct{})
		go func() {
			defer close(done)
			moveThread(cgroups)
		}()
		<-done
		return
	}
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
