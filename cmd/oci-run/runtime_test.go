package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// testRuntime is a runtime that scripts are run on.
type testRuntime struct {
	name string
	path string
}

// crunWrapper hides from crun the v2 tree of hybrid cgroups, with which it
// refuses to work.
const crunWrapper = `#!/bin/sh
exec unshare -m --propagation slave sh -c \
  'umount /sys/fs/cgroup/unified 2>/dev/null; exec crun "$@"' crun "$@"
`

// runscWrapper works without KVM and network. The sandbox is another user, who
// cannot reach the TMPDIR of a script.
const runscWrapper = `#!/bin/sh
TMPDIR=/tmp exec runsc --platform=ptrace --network=none "$@"
`

// runtimes finds those that are here; each that is not is said once.
func runtimes(t *testing.T) []testRuntime {
	t.Helper()
	var found []testRuntime
	dir := t.TempDir()
	add := func(name, program, wrapper, cure string) {
		path, err := exec.LookPath(program)
		if err != nil {
			t.Logf("no %s: its scripts are skipped; to run them: %s", name, cure)
			return
		}
		if wrapper != "" {
			path = filepath.Join(dir, name+"-wrapped")
			if err := os.WriteFile(path, []byte(wrapper), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		found = append(found, testRuntime{name, path})
	}
	add("runc", "runc", "", "apt-get install runc")
	pinned, err := filepath.Abs("../../build/libexec/runc")
	if err != nil {
		t.Fatal(err)
	}
	add("runc-pinned", pinned, "", "make runc")
	crun := ""
	if _, err := os.Stat("/sys/fs/cgroup/unified/cgroup.controllers"); err == nil {
		crun = crunWrapper
	}
	add("crun", "crun", crun, "apt-get install crun")
	add("runsc", "runsc", runscWrapper, "apt-get install runsc")
	if len(found) == 0 {
		t.Skip("no OCI runtime: apt-get install runc")
	}
	return found
}
