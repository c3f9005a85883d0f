package run

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// known is a message that a runtime gives, in its own words, and what is to be
// made of it.
type known struct {
	// has are the parts that the message has, in lower case, all of them.
	has []string
	// status is the exit status.
	status int
	// says is the message in our form; empty keeps the runtime's text.
	says string
	// hint says what to type; empty for none.
	hint string
}

// knownMessages is searched from the top. The texts are those of runc 1.1 to
// 1.5, crun 1.8, runsc of 2022 to 2026 and youki; each has a test.
var knownMessages = []known{
	{
		has: []string{"hybrid mode"}, says: "crun does not run on this host: its cgroups are in hybrid mode (v1 with a v2 tree beside)",
		hint: "use another runtime: --runtime runc",
	},
	{has: []string{"container with given id already exists"}, says: "a container with this ID exists already"},
	{has: []string{"container with id exists"}, says: "a container with this ID exists already"},
	{has: []string{"already exists", "container `"}, says: "a container with this ID exists already"},
	{has: []string{"a container with", "already exists"}, says: "a container with this ID exists already"},

	{has: []string{"exec: \"", "executable file not found in $path"}, status: StatusNotFound},
	{has: []string{"executable file `", "not found in $path"}, status: StatusNotFound},
	{has: []string{"executable file", "not found in $path"}, status: StatusNotFound},
	{has: []string{"exec: \"", "no such file or directory"}, status: StatusNotFound},
	{has: []string{"error finding executable", "no such file"}, status: StatusNotFound},
	{has: []string{"failed to load", "no such file or directory", "executable"}, status: StatusNotFound},
	{has: []string{"exec: \"", "permission denied"}, status: StatusNotExecutable},
	{has: []string{"exec: \"", "is a directory"}, status: StatusNotExecutable},
	{has: []string{"open executable: "}, status: StatusNotExecutable},
	{has: []string{"exec format error"}, status: StatusNotExecutable},
	{has: []string{"permission denied", "executable"}, status: StatusNotExecutable},

	{has: []string{"rlimit", "operation not permitted"}, hint: "process.rlimits asks for more than this process may have; lower it in config.json, or run with CAP_SYS_RESOURCE"},
	{has: []string{"rlimit_memlock", "not permitted"}, hint: "this host has no CAP_SYS_RESOURCE, which the runtime's device filter needs; use --runtime runc"},
	{has: []string{"rootless container requires user namespaces"}, hint: "make the config without root: oci-genspec --rootless BUNDLE"},
	{has: []string{"unknown version specified"}, hint: "the runtime is older than ociVersion in config.json; 1.0.2 is understood by all"},
	{has: []string{"seccomp", "not supported"}, hint: "this runtime was built without seccomp; use another, or oci-genspec --seccomp none"},
	{has: []string{"unable to start unit", "interactive authentication required"}, hint: "systemd refused; without root there is no systemd cgroup unless the user has a session (loginctl enable-linger)"},
	{has: []string{"cannot run with network enabled in root network namespace"}, hint: "give runsc no network, or the host's: oci-run --runtime-arg --network=none, or --network=host"},
	{has: []string{"frozen"}, hint: "the cgroup is frozen: thaw it (RUNTIME resume ID)"},
}

// explain turns the failure of a runtime's create or start into an error in
// our form, with its exit status. The runtime's text stays reachable as
// RuntimeText.
func (f *failure) explain() error {
	lower := strings.ToLower(f.text)
	for _, k := range knownMessages {
		if !k.matches(lower) {
			continue
		}
		err := &explained{says: k.says, failure: f}
		if k.says == "" {
			err.says = f.brief()
		}
		status := k.status
		if status == 0 {
			status = StatusFailed
		}
		if k.hint == "" {
			return fault.WithStatus(status, err)
		}
		return fault.WithStatus(status, fault.Hint(err, "%s", k.hint))
	}
	err := fault.WithStatus(StatusFailed, &explained{says: f.brief(), failure: f})
	if hint := namespaceHint(lower); hint != "" {
		return fault.Hint(err, "%s", hint)
	}
	return err
}

func (k known) matches(lower string) bool {
	for _, part := range k.has {
		if !strings.Contains(lower, part) {
			return false
		}
	}
	return true
}

// explained is a failure of the runtime in our words.
type explained struct {
	says    string
	failure *failure
}

func (e *explained) Error() string {
	return fmt.Sprintf("%s %s: %s", e.failure.runtime.Name(), e.failure.verb, e.says)
}
func (e *explained) Unwrap() error { return e.failure }

// RuntimeText returns the runtime's own message behind err, as it gave it; ""
// when err is not of a runtime.
func RuntimeText(err error) string {
	var f *failure
	if errors.As(err, &f) {
		return f.text
	}
	var r *reported
	if errors.As(err, &r) {
		return r.text
	}
	return ""
}

// frames are what runtimes put before the fact.
var frames = []string{
	"runc create failed: ", "runc start failed: ", "runc run failed: ",
	"unable to start container process: ", "error during container init: ",
	"container_linux.go", "creating container: ", "starting container: ", "failed to create container: ",
}

// brief is the text without its frames, in one line.
func (f *failure) brief() string {
	text := strings.TrimSpace(f.text)
	for again := true; again; {
		again = false
		for _, frame := range frames {
			if rest, ok := strings.CutPrefix(text, frame); ok {
				text, again = rest, true
			}
		}
	}
	if text == "" {
		return f.err.Error()
	}
	return strings.Join(strings.Fields(text), " ")
}

// saysMissing reports whether the runtime does not know the container.
func (f *failure) saysMissing() bool {
	lower := strings.ToLower(f.text)
	for _, part := range []string{"container does not exist", "/status`: no such file", "/status: no such file", "does not exist", "file does not exist", "container not found"} {
		if strings.Contains(lower, part) {
			return true
		}
	}
	return false
}

// saysTaken reports whether the runtime has a container of that ID.
func (f *failure) saysTaken() bool {
	return strings.Contains(strings.ToLower(f.text), "already exists") || strings.Contains(strings.ToLower(f.text), "id exists")
}

// namespaceHint names what the host has against user namespaces, when the
// runtime was not permitted something and this user is not root.
func namespaceHint(lower string) string {
	if os.Geteuid() == 0 || !strings.Contains(lower, "operation not permitted") && !strings.Contains(lower, "permission denied") && !strings.Contains(lower, "no space left") {
		return ""
	}
	switch {
	case sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1":
		return "AppArmor keeps ordinary users from user namespaces here: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"
	case sysctl("kernel/unprivileged_userns_clone") == "0":
		return "this host keeps ordinary users from user namespaces: sudo sysctl kernel.unprivileged_userns_clone=1"
	case sysctl("user/max_user_namespaces") == "0":
		return "this host allows no user namespaces: sudo sysctl user.max_user_namespaces=15000"
	}
	return ""
}

func sysctl(name string) string {
	data, err := os.ReadFile("/proc/sys/" + name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}
