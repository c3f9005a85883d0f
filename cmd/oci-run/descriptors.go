package main

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// takeDescriptors takes those from 3 on that the program gets. All others that
// this process was born with are closed to its children.
func (s *starter) takeDescriptors(context.Context) error {
	n := s.listen + s.Int("preserve-fds")
	s.plan.PreserveFDs = n
	if s.DryRun() {
		return nil // the script has its own
	}
	for fd := 3; fd < 3+n; fd++ {
		if !inherited(fd) {
			return fault.Usage("descriptor %d, which is to be preserved, is not open", fd)
		}
		s.extra = append(s.extra, os.NewFile(uintptr(fd), fmt.Sprintf("descriptor %d", fd)))
	}
	// CVE-2024-21626 is a descriptor too many in the container's hands.
	if err := unix.CloseRange(3, ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close inherited descriptors: %w", err)
	}
	return nil
}

// inherited reports whether this process was born with the descriptor. What is
// closed at execve(2) was opened since: the Go runtime has files of /sys and an
// epoll instance before main.
func inherited(fd int) bool {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil && flags&unix.FD_CLOEXEC == 0
}
