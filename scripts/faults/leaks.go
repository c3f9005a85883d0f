package main

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

// mark is a variable in the environment of every process of the point.
func (e *env) mark() string { return "FAULTS_POINT=" + e.dir }

// leaks tells what the runs of a point have left behind. A process may be just
// about to end.
func leaks(e *env) error {
	var err error
	for range 40 {
		if err = errors.Join(e.idle(), e.cgroups()); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	mounts, mountErr := mountsBelow(e.dir)
	if mountErr == nil && len(mounts) > 0 {
		mountErr = fmt.Errorf("still mounted: %s", strings.Join(mounts, ", "))
	}
	return errors.Join(err, mountErr, strays(e.dir), empty(e.path("tmp")), e.records())
}

// processes finds those with the mark, or with the container's ID in their
// command line: a container does not have our environment.
func (e *env) processes() (map[int]string, error) {
	all, err := filepath.Glob("/proc/[0-9]*")
	found := make(map[int]string)
	for _, p := range all {
		environ, _ := os.ReadFile(filepath.Join(p, "environ")) // it may have ended
		command, _ := os.ReadFile(filepath.Join(p, "cmdline"))
		if slices.Contains(strings.Split(string(environ), "\x00"), e.mark()) || bytes.Contains(command, []byte(e.id)) {
			pid, err := strconv.Atoi(filepath.Base(p))
			if err != nil {
				return nil, err
			}
			found[pid] = string(bytes.ReplaceAll(command, []byte{0}, []byte{' '}))
		}
	}
	return found, err
}

// idle checks that no process of the point is left.
func (e *env) idle() error {
	found, err := e.processes()
	if len(found) > 0 {
		err = errors.Join(err, fmt.Errorf("still running: %v", found))
	}
	return err
}

// end kills the processes of the point.
func (e *env) end() {
	found, _ := e.processes() // what is left of them is found again, and told
	for pid := range found {
		_ = unix.Kill(pid, unix.SIGKILL) // it may have ended
	}
}

// cgroups finds those that are named after the container.
func (e *env) cgroups() error {
	var found []string
	for _, pattern := range []string{"/sys/fs/cgroup/*", "/sys/fs/cgroup/*/*", "/sys/fs/cgroup/*/*/*"} {
		matches, err := filepath.Glob(pattern + e.id + "*")
		if err != nil {
			return err
		}
		found = append(found, matches...)
	}
	if len(found) > 0 {
		return fmt.Errorf("a cgroup is left: %s", strings.Join(found, ", "))
	}
	return nil
}

// records finds what oci-run knows of the container, whole or not.
func (e *env) records() error {
	for _, dir := range []string{"/run/oci-plumbing/containers/", "/run/runc/"} {
		if _, err := os.Lstat(dir + e.id); err == nil {
			return fmt.Errorf("left: %s", dir+e.id)
		}
	}
	return nil
}

// strays lists temporary files and directories below dir.
func strays(dir string) error {
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(d.Name(), ".oci-tmp-") {
			found = append(found, path)
		}
		return nil
	})
	if len(found) > 0 {
		err = errors.Join(err, fmt.Errorf("temporary files are left: %s", strings.Join(found, ", ")))
	}
	return err
}

func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("left in TMPDIR: %s", entries[0].Name())
	}
	return err
}

// mountsBelow lists the mount points below dir.
func mountsBelow(dir string) ([]string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var found []string
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			found = append(found, fields[4])
		}
	}
	return found, nil
}
