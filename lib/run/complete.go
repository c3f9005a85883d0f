package run

import (
	"os"
	"path/filepath"
	"strings"
)

// Complete adds the arguments that the config and the user ask for, and finds
// out where the runtime keeps its state: its default place, so that its own
// list, exec, state, kill and delete know the container. An ordinary user
// without XDG_RUNTIME_DIR has no such place; one below runRoot is used.
func (r Runtime) Complete(c *Config, runRoot, xdgRuntimeDir string) Runtime {
	if c.systemdCgroup() && r.kind() != kindRunsc {
		r.Args = append(r.Args, "--systemd-cgroup")
	}
	if root := argument(r.Args, "--root"); root != "" {
		r.State = root
		return r
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
	return r
}

// argument finds the value of a flag, in either form.
func argument(args []string, flag string) string {
	for i, a := range args {
		if value, ok := strings.CutPrefix(a, flag+"="); ok {
			return value
		}
		if a == flag && i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
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
