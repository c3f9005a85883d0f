package overlay

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// fuseType is the type that mountinfo shows for fuse-overlayfs.
const fuseType = "fuse.fuse-overlayfs"

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
