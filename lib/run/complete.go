package run

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Complete adds the arguments that the config and the user ask for, and finds
// out where the runtime keeps its state: its default place, so that its own
// list, exec, state, kill and delete know the container. An ordinary user
// without XDG_RUNTIME_DIR has no such place; one below runRoot is used.
func (r Runtime) Complete(c *Config, runRoot, xdgRuntimeDir string) (Runtime, error) {
	if c.systemdCgroup() && r.kind() != kindRunsc {
		r.Args = append(r.Args, "--systemd-cgroup")
	}
	args, root, err := absolute(r.Args, "--root")
	if err != nil {
		return r, fmt.Errorf("find the runtime's state directory: %w", err)
	}
	if root != "" {
		r.Args, r.State = args, root
		return r, nil
	}
	kind := r.kind()
	switch {
	case !Rootless():
		r.State = "/run/" + kind
	case filepath.IsAbs(xdgRuntimeDir):
		r.State = filepath.Join(xdgRuntimeDir, kind)
		if os.Geteuid() == 0 {
			// Root of a user namespace: not every runtime sees that /run/RUNTIME
			// is another's.
			r.Args = append(r.Args, "--root", r.State)
		}
	default:
		r.State = filepath.Join(runRoot, kind)
		r.Args = append(r.Args, "--root", r.State)
	}
	return r, nil
}

// absolute makes the path that is the value of a flag, in either form, an
// absolute one, and returns it: the monitor of a container, and who deletes it
// later, call the runtime from other directories.
func absolute(args []string, flag string) ([]string, string, error) {
	for i, a := range args {
		value, joined := strings.CutPrefix(a, flag+"=")
		if a == flag && i+1 < len(args) {
			i, value = i+1, args[i+1]
		} else if !joined {
			continue
		}
		path, err := filepath.Abs(value)
		if err != nil || value == "" {
			return args, "", err
		}
		args = slices.Clone(args)
		args[i] = strings.TrimSuffix(args[i], value) + path
		return args, path, nil
	}
	return args, "", nil
}

// Rootless reports whether this process lacks the privileges of the host's
// root: it has another user id, or is root of a user namespace only.
func Rootless() bool {
	if os.Geteuid() != 0 {
		return true
	}
	data, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false
	}
	fields := strings.Fields(string(data))
	return len(fields) < 3 || fields[0] != "0" || fields[1] != "0" || fields[2] != "4294967295"
}
