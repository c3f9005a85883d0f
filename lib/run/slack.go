package run

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// patient reports whether runc is to make the container with late timers,
// which saves a tenth of its work. The container's first process inherits
// them, so this process must be able to give it back the usual ones
// (CAP_SYS_NICE), and there must be no hooks, whose processes would keep them.
func (s *supervisor) patient() bool { return s.plain() && capable(unix.CAP_SYS_NICE) }

func capable(capability uint) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	return unix.Capget(&header, &sets[0]) == nil && sets[capability/32].Effective&(1<<(capability%32)) != 0
}

// restoreSlack gives the container's first process, which waits to become the
// program, the timer slack of this one. Its first thread is the one that will
// execute the program; the others may make threads until then.
func restoreSlack(pid int) error {
	usual, err := os.ReadFile("/proc/self/timerslack_ns")
	if err != nil {
		return fmt.Errorf("read the timer slack: %w", err)
	}
	threads, err := filepath.Glob(procPath(pid, "task/*"))
	if err != nil {
		return fmt.Errorf("list the threads of the container: %w", err)
	}
	for _, thread := range threads {
		// The file is in the thread's directory below /proc itself. A thread
		// may have ended meanwhile.
		err := os.WriteFile("/proc/"+filepath.Base(thread)+"/timerslack_ns", usual, 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("set the timer slack of the container: %w", err)
		}
	}
	return nil
}
