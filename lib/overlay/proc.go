package overlay

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// proc is a process that the caller may look at.
type proc struct {
	pid       int
	dir       string // below /proc
	namespace string // its mount namespace, "mnt:[4026531841]"
}

// eachProcess visits the processes that the caller may look at. One that ends,
// or that belongs to somebody else, is none of ours: it cannot hold what the
// caller may remove.
func eachProcess(visit func(proc) error) error {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		namespace, err := os.Readlink(dir + "/ns/mnt")
		if err != nil {
			continue
		}
		if err := visit(proc{pid, dir, namespace}); err != nil {
			return err
		}
	}
	return nil
}

// errNotOurs says that a process has ended, or may not be looked into.
var errNotOurs = errors.New("not to be looked into")

// mounts are those of this package that the process sees.
func (p proc) mounts() ([]Mounted, error) {
	data, err := os.ReadFile(p.dir + "/mountinfo")
	if err != nil {
		return nil, errNotOurs
	}
	mounts, err := parseMountinfo(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("read %s/mountinfo: %w", p.dir, err)
	}
	return mounts, nil
}

// servesFuse reports whether the process is fuse-overlayfs itself.
func (p proc) servesFuse() bool {
	comm, err := os.ReadFile(p.dir + "/comm")
	return err == nil && string(comm) == FuseProgram+"\n"
}
