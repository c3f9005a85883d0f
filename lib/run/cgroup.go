package run

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroupMount is where a hierarchy is mounted, and which of its directories
// is there.
type cgroupMount struct {
	point, root string
	// controllers of a v1 hierarchy, and its name= if it has one; empty for v2.
	controllers []string
}

// cgroupsOf returns the absolute directories of the process's cgroups, one per
// hierarchy. What cannot be seen from here is left out.
func cgroupsOf(pid string) []string {
	data, err := os.ReadFile("/proc/" + pid + "/cgroup")
	if err != nil {
		return nil
	}
	mounts := cgroupMounts()
	var dirs []string
	for line := range strings.Lines(string(data)) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(fields) != 3 {
			continue
		}
		if dir := locate(mounts, fields[1], fields[2]); dir != "" && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// locate finds the directory of a cgroup; controllers is the middle field of
// /proc/PID/cgroup.
func locate(mounts []cgroupMount, controllers, name string) string {
	for _, m := range mounts {
		if controllers == "" && len(m.controllers) > 0 || controllers != "" && !m.has(controllers) {
			continue
		}
		rel, err := filepath.Rel(m.root, name)
		if err != nil || strings.HasPrefix(rel, "..") {
			continue
		}
		return filepath.Join(m.point, rel)
	}
	return ""
}

func (m cgroupMount) has(controllers string) bool {
	for c := range strings.SplitSeq(controllers, ",") {
		if !slices.Contains(m.controllers, c) {
			return false
		}
	}
	return true
}

// cgroupMounts reads the hierarchies from mountinfo (proc(5)).
func cgroupMounts() []cgroupMount {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	var mounts []cgroupMount
	for line := range bytes.Lines(data) {
		left, right, ok := strings.Cut(string(bytes.TrimSuffix(line, []byte("\n"))), " - ")
		a, b := strings.Fields(left), strings.Fields(right)
		if !ok || len(a) < 5 || len(b) < 3 {
			continue
		}
		m := cgroupMount{point: a[4], root: a[3]}
		switch b[0] {
		case "cgroup":
			m.controllers = strings.Split(b[2], ",")
		case "cgroup2":
		default:
			continue
		}
		mounts = append(mounts, m)
	}
	return mounts
}

// ownCgroups narrows dirs to those that are the container's alone: not those
// that this process is in, too.
func ownCgroups(dirs []string) []string {
	mine := cgroupsOf("self")
	return slices.DeleteFunc(dirs, func(dir string) bool { return slices.Contains(mine, dir) })
}

// outOfMemory reports whether the kernel has killed a process of the cgroups
// for lack of memory: oom_kill in memory.events (v2) or memory.oom_control
// (v1, since Linux 4.13). The counters are complete once the process is gone,
// and need neither inotify nor eventfd.
func outOfMemory(dirs []string) bool {
	for _, dir := range dirs {
		for _, name := range []string{"memory.events", "memory.oom_control"} {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				continue
			}
			for line := range strings.Lines(string(data)) {
				key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
				if n, err := strconv.ParseUint(value, 10, 64); key == "oom_kill" && err == nil {
					// One hierarchy has the memory controller.
					return n > 0
				}
			}
		}
	}
	return false
}

// likelyCgroups are the directories that runtimes make for a container whose
// config names none: a directory of the ID's name below the caller's own. They
// matter when a runtime was killed before it could say where it is.
func likelyCgroups(id string) []string {
	var dirs []string
	for _, dir := range cgroupsOf("self") {
		dirs = append(dirs, filepath.Join(dir, id))
	}
	return dirs
}

// removeCgroups kills what is left in the directories and removes them, for a
// container that its runtime has forgotten. What it still manages it has
// removed itself, so that there is nothing to do.
func removeCgroups(dirs []string) error {
	var errs []error
	for _, dir := range dirs {
		if err := removeCgroup(dir); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func removeCgroup(dir string) error {
	const tries = 50
	var err error
	for range tries {
		// The kernel counts a killed process in until it is reaped.
		err = unix.Rmdir(dir)
		switch {
		case err == nil, errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
			return nil
		case errors.Is(err, unix.EBUSY), errors.Is(err, unix.ENOTEMPTY):
			killCgroup(dir)
			time.Sleep(10 * time.Millisecond)
		default:
			return fmt.Errorf("remove cgroup %s: %w", dir, err)
		}
	}
	return fmt.Errorf("remove cgroup %s: %w", dir, err)
}

// killCgroup kills the processes in dir and below, and removes what is below.
func killCgroup(dir string) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if d == nil || err == nil && !d.IsDir() {
			return nil
		}
		procs, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		for word := range strings.FieldsSeq(string(procs)) {
			if pid, err := strconv.Atoi(word); err == nil && pid > 1 && pid != os.Getpid() {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		if path != dir {
			_ = unix.Rmdir(path)
		}
		return nil
	})
}
