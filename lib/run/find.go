package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// Search says where a runtime is looked for.
type Search struct {
	// Wanted is a name or path that was asked for (--runtime, $OCI_RUNTIME);
	// only that is taken then.
	Wanted string
	// Path is the value of PATH. Relative and empty entries are passed over:
	// the current directory may be a bundle.
	Path string
	// Pinned are paths of the runtime that comes with the tools, tried last.
	Pinned []string
	// Args are global arguments for the runtime.
	Args []string
	// Warn is told of what was passed over, and of old versions.
	Warn func(format string, args ...any)
	// RunRoot is where the findings about runtimes are kept until the next
	// boot; asking a runtime for its version costs as much as half a
	// container.
	RunRoot string
}

// runtimeNames are those looked for in PATH, best first.
var runtimeNames = []string{kindRunc, kindCrun, kindYouki}

// Find returns the first runtime that works here.
func (s Search) Find(ctx context.Context) (Runtime, error) {
	if s.Wanted != "" {
		path, err := s.wantedPath()
		if err != nil {
			return Runtime{}, err
		}
		// What was asked for is taken; if it cannot run here, its own
		// message will tell.
		return Runtime{Path: path, Args: s.Args}, nil
	}
	for _, path := range s.candidates() {
		r := Runtime{Path: path, Args: s.Args}
		if why := s.unfit(ctx, r); why != "" {
			s.Warn("%s is passed over: %s", path, why)
			continue
		}
		return r, nil
	}
	return Runtime{}, fault.Hint(fault.NotFound("no OCI runtime was found that works here (tried %s in PATH)", strings.Join(runtimeNames, ", ")),
		"install one with: %s", installCommand())
}

func (s Search) wantedPath() (string, error) {
	if strings.Contains(s.Wanted, "/") {
		path, err := filepath.Abs(s.Wanted)
		if err != nil {
			return "", fmt.Errorf("find the runtime: %w", err)
		}
		if err := executable(path); err != nil {
			return "", fault.As(fault.ErrNotFound, fmt.Errorf("runtime %s: %w", s.Wanted, err))
		}
		return path, nil
	}
	for _, dir := range filepath.SplitList(s.Path) {
		if path := filepath.Join(dir, s.Wanted); filepath.IsAbs(dir) && executable(path) == nil {
			return path, nil
		}
	}
	for _, path := range s.Pinned {
		if filepath.Base(path) == s.Wanted && executable(path) == nil {
			return path, nil
		}
	}
	return "", fault.Hint(fault.NotFound("runtime %q is not in PATH", s.Wanted), "install it with: %s, or give its path", installCommand())
}

func (s Search) candidates() []string {
	var found []string
	for _, name := range runtimeNames {
		for _, dir := range filepath.SplitList(s.Path) {
			if path := filepath.Join(dir, name); filepath.IsAbs(dir) && executable(path) == nil {
				found = append(found, path)
				break
			}
		}
	}
	for _, path := range s.Pinned {
		if executable(path) == nil {
			found = append(found, path)
		}
	}
	return found
}

func executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("not a regular file")
	}
	return unix.Access(path, unix.X_OK)
}

// unfit says why the runtime cannot work here; "" when it can, as far as known.
func (s Search) unfit(ctx context.Context, r Runtime) string {
	if r.kind() == kindCrun && hybridCgroups() {
		return "crun does not run on hybrid cgroups (v1 with a v2 tree beside)"
	}
	if err := s.probe(ctx, r); err != nil {
		return err.Error()
	}
	return ""
}

// hybridCgroups is crun's own test: a v2 tree beside v1 that has controllers.
func hybridCgroups() bool {
	data, err := os.ReadFile("/sys/fs/cgroup/unified/cgroup.controllers")
	return err == nil && len(bytes.TrimSpace(data)) > 0
}

// probe asks the program once per boot and file for its version, which shows
// that it can be executed here at all.
func (s Search) probe(ctx context.Context, r Runtime) error {
	var st unix.Stat_t
	if err := unix.Stat(r.Path, &st); err != nil {
		return fmt.Errorf("look at it: %w", err)
	}
	memo := filepath.Join(s.RunRoot, "runtimes", fmt.Sprintf("%x-%x-%x-%x", st.Dev, st.Ino, st.Size, st.Mtim.Nano()))
	if _, err := os.Stat(memo); err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.Path, "--version")
	cmd.Env = runtimeEnv(os.Environ())
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s --version: %w", r.Path, err)
	}
	first, _, _ := strings.Cut(string(out), "\n")
	if err := os.MkdirAll(filepath.Dir(memo), 0o700); err == nil {
		_ = replaceFile(memo, []byte(first)) // only saves the next call the question
	}
	if old := tooOld(first); old != "" {
		s.Warn("%s is %s", r.Path, old)
	}
	return nil
}

// tooOld says what is wrong with a version line of runc.
func tooOld(line string) string {
	number, ok := strings.CutPrefix(line, "runc version ")
	if !ok {
		return ""
	}
	var major, minor, patch int
	if n, _ := fmt.Sscanf(number, "%d.%d.%d", &major, &minor, &patch); n != 3 || major != 1 {
		return ""
	}
	if minor < 3 || minor == 3 && patch < 6 || minor == 4 && patch < 3 {
		return fmt.Sprintf("runc %d.%d.%d, which, unless its packager mended it, lets images write on the host (CVE-2025-31133, CVE-2025-52565, CVE-2025-52881); 1.3.6, 1.4.3 and 1.5 do not", major, minor, patch)
	}
	return ""
}

// installCommand is what installs a runtime on this distribution.
func installCommand() string {
	for _, id := range distribution() {
		switch id {
		case "debian", "ubuntu":
			return "sudo apt-get install runc"
		case "fedora", "rhel", "centos":
			return "sudo dnf install crun"
		case "alpine":
			return "apk add runc"
		case "arch":
			return "sudo pacman -S runc"
		case "suse", "opensuse":
			return "sudo zypper install runc"
		}
	}
	return "your package manager (package runc or crun)"
}

// distribution returns ID and ID_LIKE of os-release.
func distribution() []string {
	data, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return nil
	}
	var own, like []string
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch value = strings.Trim(value, `"'`); name {
		case "ID":
			own = append(own, value)
		case "ID_LIKE":
			like = strings.Fields(value)
		}
	}
	return append(own, like...)
}
