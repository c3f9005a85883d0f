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
func cgroupsOf(pid string, mounts []cgroupMount) []string {
	data, err := os.ReadFile("/proc/" + pid + "/cgroup")
	if err != nil {
		return nil
	}
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

// cgroupMounts reads the hierarchies from mountinfo (proc(5)). That is as long as
// there are containers, and so the most that many of them cost each other.
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
func ownCgroups(dirs []string, mounts []cgroupMount) []string {
	mine := cgroupsOf("self", mounts)
	return slices.DeleteFunc(dirs, func(dir string) bool { return slices.Contains(mine, dir) })
}

// likelyCgroups are the directories that runtimes make for a container whose
// config names none: one of the ID's name in the caller's own cgroup (runc, v1),
// beside that (runc, v2), or at the top (crun). They matter when a runtime is
// killed before it can say where the container is.
func likelyCgroups(id string, mounts []cgroupMount) []string {
	return guessCgroups(id, cgroupsOf("self", mounts), mounts)
}

func guessCgroups(id string, own []string, mounts []cgroupMount) []string {
	var dirs []string
	add := func(parent string) {
		if dir := filepath.Join(parent, id); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, m := range mounts {
		for _, dir := range own {
			if !below(dir, m.point) {
				continue
			}
			add(dir)
			if len(m.controllers) == 0 && dir != m.point {
				add(filepath.Dir(dir))
			}
			add(m.point)
		}
	}
	return dirs
}

// removeCgroups removes the container's cgroups, and kills what is in them, once
// its runtime has forgotten it. What that still manages it has removed itself,
// so that there is nothing to do.
func (rec *Record) removeCgroups() error {
	if rec.Process.Pid == 0 {
		for _, dir := range rec.Cgroups {
			removeGuess(dir, rec.Created)
		}
		return nil
	}
	var errs []error
	for _, dir := range rec.Cgroups {
		err := removeCgroup(dir, func() { killCgroup(dir) })
		if err != nil {
			errs = append(errs, fmt.Errorf("remove cgroup %s: %w", dir, err))
		}
	}
	return errors.Join(errs...)
}

// removeGuess removes a cgroup that is likely to be that of a container which
// was never created. It kills nothing: an ID may be the name of a service. What
// is left of a runtime that was killed ends by itself.
func removeGuess(dir string, created time.Time) {
	info, err := os.Stat(dir)
	// The kernel's clock for it may be some milliseconds late.
	if err != nil || info.ModTime().Before(created.Add(-time.Second)) {
		return
	}
	_ = removeCgroup(dir, func() {})
}

// removeCgroup removes the directory; prepare is called as long as there is
// something in it.
func removeCgroup(dir string, prepare func()) error {
	const tries = 50
	for try := 1; ; try++ {
		err := unix.Rmdir(dir)
		switch {
		case err == nil, errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
			return nil
		case !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOTEMPTY) || try == tries:
			return err
		}
		prepare()
		// The kernel counts a killed process in until it is reaped.
		time.Sleep(10 * time.Millisecond)
	}
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
