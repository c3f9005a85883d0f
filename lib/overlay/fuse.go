package overlay

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// FuseProgram mounts overlays where the kernel does not. It is the source of
// its mounts in mountinfo, too, and fuseType their type.
const (
	FuseProgram = "fuse-overlayfs"
	fuseType    = "fuse." + FuseProgram
)

// FuseCommand returns the command that mounts the stack with fuse-overlayfs,
// for user namespaces in which the kernel's overlay may not be mounted. It
// needs the program and /dev/fuse, and reads whiteouts in either form.
func (s *Stack) FuseCommand(ctx context.Context, target string) (*exec.Cmd, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("mount with fuse-overlayfs: %w", err)
	}
	for _, l := range s.Lowers {
		if l.Mount != nil {
			return nil, fmt.Errorf("mount with fuse-overlayfs: layer %s is no directory", l.Path)
		}
	}
	words := []string{"lowerdir=" + s.escapedLowers(), "fsname=" + Source}
	if s.Upper != "" {
		words = append(words, "upperdir="+escape(s.Upper), "workdir="+escape(s.Work))
	} else {
		words = append(words, "ro")
	}
	if s.Volatile {
		words = append(words, "volatile")
	}
	return exec.CommandContext(ctx, FuseProgram, "-o", strings.Join(words, ","), target), nil
}

// EndIdleFuse ends each fuse-overlayfs that is alone in its mount namespace
// with a mount on target. Unlike the kernel's, such a mount does not end with
// the last process that could see it: its own server is one.
func EndIdleFuse(target string) error {
	servers, inhabited := make(map[string]int), make(map[string]bool) // by namespace
	if err := eachProcess(func(p proc) error {
		if !p.servesFuse() {
			inhabited[p.namespace] = true
			return nil
		}
		mounts, err := p.mounts()
		if slices.ContainsFunc(mounts, func(m Mounted) bool { return m.Type == fuseType && m.Target == target }) {
			servers[p.namespace] = p.pid
		}
		if errors.Is(err, errNotOurs) {
			return nil
		}
		return err
	}); err != nil {
		return err
	}
	for namespace, pid := range servers {
		if inhabited[namespace] {
			continue
		}
		if err := endProcess(pid); err != nil {
			return fmt.Errorf("end %s on %s: %w", FuseProgram, target, err)
		}
	}
	return nil
}

// endProcess asks a process to end, and waits a while until it has.
func endProcess(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGTERM, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 5000)
	return err
}
