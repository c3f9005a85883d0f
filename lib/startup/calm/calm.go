// Package calm keeps the watchdog of the Go runtime (sysmon) asleep. It is a
// thread that wakes up every 20 µs to look for system calls that block; in a
// tool that lives for ten milliseconds half of all switches are its own. The
// kernel lets a thread sleep longer than it asked: by its timer slack.
//
// A program imports the package for this effect. A thread that sysmon starts
// inherits the slack, and so would what that one starts: see startup.Punctual.
package calm

import (
	"strconv"
	"syscall"
)

// slack is in nanoseconds. A system call that really blocks keeps the
// processor from other goroutines for as long.
const slack = "2000000"

func init() { calm() } //nolint:gochecknoinits // the earlier, the better

// calm sets the slack of all threads but the first: that is how many the
// runtime has started, before it ran the first initialiser. Another thread's
// slack is root's to set (CAP_SYS_NICE); where it cannot be, nothing is lost.
func calm() {
	fd, err := syscall.Open("/proc/self/task", syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	buf := make([]byte, 512)
	n, err := syscall.ReadDirent(fd, buf)
	_ = syscall.Close(fd)
	if err != nil {
		return
	}
	_, _, threads := syscall.ParseDirent(buf[:n], -1, nil)
	first := strconv.Itoa(syscall.Getpid())
	for _, thread := range threads {
		if thread != first {
			setSlack(thread)
		}
	}
}

// setSlack writes to a file of the thread that is not below /proc/self/task.
func setSlack(thread string) {
	fd, err := syscall.Open("/proc/"+thread+"/timerslack_ns", syscall.O_WRONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	_, _ = syscall.Write(fd, []byte(slack))
	_ = syscall.Close(fd)
}
