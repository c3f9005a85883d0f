package overlay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// fuseType is the type that mountinfo shows for fuse-overlayfs, fuseProgram its
// source.
const (
	fuseType    = "fuse.fuse-overlayfs"
	fuseProgram = "fuse-overlayfs"
)

// FuseCommand returns the command that mounts the stack with fuse-overlayfs,
// for user namespaces in which the kernel's overlay may not be mounted. It
// needs the program and /dev/fuse, and reads whiteouts in either form.
func (s *Stack) FuseCommand(ctx context.Context, program, target string) (*exec.Cmd, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("mount with fuse-overlayfs: %w", err)
	}
	lowers := make([]string, len(s.Lowers))
	for i, l := range s.Lowers {
		if l.Mount != nil {
			return nil, fmt.Errorf("mount with fuse-overlayfs: layer %s is no directory", l.Path)
		}
		lowers[i] = escape(l.Path)
	}
	words := []string{"lowerdir=" + strings.Join(lowers, ":"), "fsname=" + Source}
	if s.Upper != "" {
		words = append(words, "upperdir="+escape(s.Upper), "workdir="+escape(s.Work))
	} else {
		words = append(words, "ro")
	}
	if s.Volatile {
		words = append(words, "volatile")
	}
	return exec.CommandContext(ctx, program, "-o", strings.Join(words, ","), target), nil
}

// EndIdleFuse ends each fuse-overlayfs that is alone in its mount namespace
// with a mount on target. Unlike the kernel's, such a mount does not end with
// the last process that could see it: its own server is one.
func EndIdleFuse(target string) error {
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	servers, inhabited := make(map[string]int), make(map[string]bool) // by namespace
	for _, process := range processes {
		namespace, err := os.Readlink(process + "/ns/mnt")
		if err != nil {
			continue // another user's
		}
		if !servesFuse(process) {
			inhabited[namespace] = true
			continue
		}
		data, err := os.ReadFile(process + "/mountinfo")
		if err != nil {
			continue
		}
		mounts, err := parseMountinfo(bytes.NewReader(data))
		if err != nil {
			return fmt.Errorf("read %s/mountinfo: %w", process, err)
		}
		if slices.ContainsFunc(mounts, func(m Mounted) bool { return m.Type == fuseType && m.Target == target }) {
			servers[namespace], _ = strconv.Atoi(filepath.Base(process))
		}
	}
	for namespace, pid := range servers {
		if inhabited[namespace] {
			continue
		}
		if err := endProcess(pid); err != nil {
			return fmt.Errorf("end %s on %s: %w", fuseProgram, target, err)
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
