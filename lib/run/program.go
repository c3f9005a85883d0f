package run

import (
	"errors"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// The exit statuses of DESIGN section 3 for a program that cannot be started.
const (
	// StatusFailed is a failure of the tool or the runtime.
	StatusFailed = 125
	// StatusNotExecutable is a program that is there and cannot be executed.
	StatusNotExecutable = 126
	// StatusNotFound is a program that is not there.
	StatusNotFound = 127
)

// CheckProgram looks for process.args[0] in the root file system as the
// runtime will, and tells not found (127) from not executable (126). It knows
// more than the runtimes: a missing #! or ELF interpreter fails only after
// their start has returned, with a status that the program could have had.
//
// What it cannot see for sure (below a mount, no permission) it leaves to the
// runtime.
func CheckProgram(c *Config, bundle string) error {
	t, err := openTree(c.Rootfs(bundle))
	if err != nil {
		return err
	}
	defer func() { _ = t.Close() }()
	ck := programCheck{tree: t}
	for _, m := range c.Spec.Mounts {
		ck.mounts = append(ck.mounts, path.Clean("/"+m.Destination))
	}
	name := c.Spec.Process.Args[0]
	if strings.Contains(name, "/") {
		if !path.IsAbs(name) {
			name = path.Join(c.Spec.Process.Cwd, name)
		}
		return ck.file(name, 0)
	}
	search := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, v := range c.Spec.Process.Env {
		if value, ok := strings.CutPrefix(v, "PATH="); ok {
			search = value
		}
	}
	return ck.lookup(name, search, c.Spec.Process.Cwd)
}

type programCheck struct {
	tree   *tree
	mounts []string
}

// find returns the place of a file; false when it cannot be known from outside.
func (ck *programCheck) find(name string) (place, bool) {
	p, err := ck.tree.walk(name)
	if errors.Is(err, unix.ENOTDIR) {
		return place{missing: true, path: name}, true
	}
	hidden := slices.ContainsFunc(ck.mounts, func(m string) bool { return below(p.path, m) })
	return p, err == nil && !hidden
}

func (ck *programCheck) lookup(name, search, cwd string) error {
	var unfit error
	for dir := range strings.SplitSeq(search, ":") {
		if !path.IsAbs(dir) {
			dir = path.Join(cwd, dir)
		}
		candidate := path.Join(dir, name)
		p, ok := ck.find(candidate)
		switch {
		case !ok:
			return nil
		case p.missing:
		case p.isDir() || p.stat.Mode&0o111 == 0:
			unfit = ck.file(candidate, 0)
		default:
			return ck.file(candidate, 0)
		}
	}
	if unfit != nil {
		return unfit
	}
	return notFound("%q is not in the PATH of the container (%s)", name, search)
}

// file checks the program at name; depth counts the interpreters of
// interpreters, of which the kernel follows a few.
func (ck *programCheck) file(name string, depth int) error {
	p, ok := ck.find(name)
	if !ok || depth > 4 {
		return nil
	}
	switch {
	case p.missing:
		return notFound("%s does not exist in the container", name)
	case p.isDir():
		return notExecutable("%s is a directory", name)
	case p.stat.Mode&unix.S_IFMT != unix.S_IFREG:
		return notExecutable("%s is not a regular file", name)
	case p.stat.Mode&0o111 == 0:
		return notExecutable("%s has no execute permission", name)
	}
	return ck.content(p, name, depth)
}

// content looks into a regular file that may be executed.
func (ck *programCheck) content(p place, name string, depth int) error {
	head, ok := ck.tree.head(p, 4096)
	if !ok {
		return nil
	}
	interpreter, registered, err := interpreterOf(name, head, binfmtMisc)
	switch {
	case err != nil:
		return notExecutable("%s %w", name, err)
	case !path.IsAbs(interpreter):
		return nil
	}
	q, ok := ck.find(interpreter)
	switch {
	case ok && q.missing && registered:
		return fault.Hint(notFound("%s needs %s, registered with the kernel for its format, which does not exist in the container", name, interpreter),
			"register it with the flag F (binfmt_misc), so that it need not be there")
	case ok && q.missing:
		return fault.Hint(notFound("%s needs the interpreter %s, which does not exist in the container", name, interpreter),
			"the file was made for another base image (glibc, musl), or its first line is wrong")
	}
	return ck.file(interpreter, depth+1)
}

func notFound(format string, args ...any) error {
	return fault.WithStatus(StatusNotFound, fault.NotFound(format, args...))
}

func notExecutable(format string, args ...any) error {
	return fault.WithStatus(StatusNotExecutable, fault.Refused(format, args...))
}
