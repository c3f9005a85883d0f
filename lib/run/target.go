package run

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// CheckTargets looks at the places in the root file system that the runtime
// will mount on, make nodes in and change into, and refuses those through
// which an image could lead it astray. Up-to-date runtimes defend themselves;
// this does not depend on their age.
//
//	/proc, /sys  a symlink or file there hides the real one from the checks
//	             of the runtime (CVE-2019-16884, -19921, CVE-2023-27561, -28642)
//	/dev         links and nodes are made below it by path (CVE-2026-41579,
//	             CVE-2025-31133, -52565)
//	cwd          a path through /proc/self/fd leads to a descriptor that the
//	             runtime has left open (CVE-2024-21626)
//
// The mount sources in later do not exist yet.
func CheckTargets(c *Config, bundle string, later ...string) error {
	rootfs := c.Rootfs(bundle)
	t, err := openTree(rootfs)
	switch {
	case errors.Is(err, unix.ENOENT):
		return fault.Hint(fault.NotFound("root file system %s does not exist", rootfs), "make it with: oci-unpack IMAGE BUNDLE, or oci-mount IMAGE BUNDLE")
	case errors.Is(err, unix.ENOTDIR):
		return fault.Refused("root file system %s is not a directory", rootfs)
	case err != nil:
		return err
	}
	defer func() { _ = t.Close() }()
	ck := targetCheck{tree: t, bundle: bundle, later: later}
	for _, m := range c.Spec.Mounts {
		if err := ck.mount(m); err != nil {
			return fmt.Errorf("mount on %s: %w", m.Destination, err)
		}
	}
	for _, dir := range []string{"/proc", "/sys", "/dev"} {
		if err := ck.realDir(dir); err != nil {
			return err
		}
	}
	if err := ck.devices(); err != nil {
		return err
	}
	return ck.cwd(c.Spec.Process.Cwd)
}

type targetCheck struct {
	tree   *tree
	bundle string
	later  []string
	// mounted are the destinations so far; what lies below one of them is
	// not in the root file system.
	mounted []string
}

func (ck *targetCheck) covered(name string) bool {
	for _, m := range ck.mounted {
		if name != m && below(name, m) {
			return true
		}
	}
	return false
}

func (ck *targetCheck) mount(m rspec.Mount) error {
	dest := path.Clean("/" + m.Destination)
	defer func() { ck.mounted = append(ck.mounted, dest) }()
	if isBind(m) {
		if err := ck.source(m.Source); err != nil {
			return err
		}
	}
	if ck.covered(dest) || dest == "/" {
		return nil
	}
	p, err := ck.tree.walk(dest)
	if err != nil {
		return unreadable(err)
	}
	switch {
	case p.links > 0 && (magic(dest) || m.Type == "proc" || m.Type == "sysfs" || m.Type == "cgroup"):
		return refuseLink(dest, p)
	case p.throughProc && !below(dest, "/proc"), below(p.path, "/sys") && !below(dest, "/sys"), below(p.path, "/dev") && !below(dest, "/dev"):
		return refuseLink(dest, p)
	case !p.missing && !isBind(m) && !p.isDir():
		return fault.Refused("%s in the image is not a directory", dest)
	}
	return nil
}

// source finds out now that a bind mount has nothing to bind.
func (ck *targetCheck) source(source string) error {
	if !filepath.IsAbs(source) {
		source = filepath.Join(ck.bundle, source)
	}
	if slices.ContainsFunc(ck.later, func(dir string) bool { return below(source, dir) }) {
		return nil
	}
	if _, err := os.Stat(source); err != nil {
		return fmt.Errorf("its source: %w", err)
	}
	return nil
}

// magic reports whether the kernel or the runtime fills the directory.
func magic(name string) bool {
	return below(name, "/proc") || below(name, "/sys") || below(name, "/dev")
}

func refuseLink(dest string, p place) error {
	return fault.Hint(fault.Refused("%s in the image is a symlink or lies behind one, and leads to %s", dest, p.path),
		"the image may be hostile: such links led runtimes to write on the host")
}

// unreadable lets the runtime decide about what this process may not see: in a
// user namespace of its own the runtime sees more.
func unreadable(err error) error {
	if errors.Is(err, unix.EACCES) {
		return nil
	}
	return err
}

// realDir refuses a symlink or file where runtimes expect a directory, mounted
// on or not.
func (ck *targetCheck) realDir(name string) error {
	p, err := ck.tree.walk(name)
	switch {
	case err != nil:
		return unreadable(err)
	case p.links > 0:
		return refuseLink(name, p)
	case !p.missing && !p.isDir():
		return fault.Refused("%s in the image is not a directory", name)
	}
	return nil
}

// devices looks at the nodes that the runtime makes, or binds its own to, when
// nothing is mounted on /dev.
func (ck *targetCheck) devices() error {
	for _, m := range ck.mounted {
		if m == "/dev" {
			return nil
		}
	}
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty", "console"} {
		name = "/dev/" + name
		p, err := ck.tree.walk(name)
		if err != nil {
			return unreadable(err)
		}
		if p.links > 0 {
			return refuseLink(name, p)
		}
	}
	return nil
}

func (ck *targetCheck) cwd(cwd string) error {
	clean := path.Clean(cwd)
	if below(clean, "/proc") && clean != "/proc" {
		return fault.Refused("process.cwd %s lies in /proc, from where descriptors of the runtime could be reached (CVE-2024-21626)", cwd)
	}
	for _, m := range ck.mounted {
		if m != "/" && below(clean, m) {
			return nil
		}
	}
	p, err := ck.tree.walk(cwd)
	switch {
	case err != nil:
		return unreadable(err)
	case p.throughProc && clean != "/proc":
		return fault.Refused("process.cwd %s leads through /proc, from where descriptors of the runtime could be reached (CVE-2024-21626)", cwd)
	case !p.missing && !p.isDir():
		return fault.Refused("process.cwd %s is not a directory", cwd)
	}
	return nil
}
