package spec

import (
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// systemd prepares a container in which systemd is the first process: it
// wants its own tmpfs on some directories, and its cgroup to write in.
func (b *builder) systemd() error {
	switch b.opt.Systemd {
	case "", "false":
		return nil
	case "true":
		if !isSystemd(b.doc.strings("process", "args")) {
			return nil
		}
	case "always":
	default:
		return fault.Usage("--systemd %q is none of true, always, false", b.opt.Systemd)
	}
	from := byFlag("--systemd", b.opt.Systemd)
	for _, dir := range []string{"/run", "/run/lock", "/tmp", "/var/log/journal"} {
		b.setMount(from, newMount(dir, "tmpfs", "tmpfs", "rw", "rprivate", "nosuid", "nodev", "tmpcopyup"))
	}
	if b.host.CgroupV2 {
		if !b.hasNamespace("cgroup") {
			b.addNamespace(from, "cgroup")
		}
		for _, m := range b.doc.get("mounts").each() {
			if m.member("type").text() == "cgroup" {
				setOption(from, m, "rw", "ro")
			}
		}
	} else {
		b.setMount(from, newMount("/sys/fs/cgroup/systemd", "bind", "/sys/fs/cgroup/systemd", "bind", "nodev", "noexec", "nosuid", "rprivate"))
		if err := b.mask(from, "/sys/fs/cgroup/systemd/release_agent"); err != nil {
			return err
		}
	}
	if vars := b.doc.strings("process", "env"); !b.unset("container") && !slices.ContainsFunc(vars, func(v string) bool { return strings.HasPrefix(v, "container=") }) {
		container := newString("container=oci")
		container.from = derived("systemd", "by this systemd knows that it runs in a container, and which kind")
		list := b.doc.list(from, "process", "env")
		list.items = append(list.items, container)
	}
	b.doc.set(derived("systemd", "systemd shuts down in order at this signal"), newString("SIGRTMIN+3"), "annotations", "org.opencontainers.image.stopSignal")
	return nil
}

func isSystemd(args []string) bool {
	if len(args) == 0 {
		return false
	}
	switch path.Base(args[0]) {
	case "systemd", "init":
		return true
	}
	return false
}

// initInside is where podman and docker put their init.
const initInside = "/run/podman-init"

// initProgram runs the command below a small init that reaps and forwards
// signals. It is bound from the host, so it must be static.
func (b *builder) initProgram() error {
	if !b.opt.Init && b.opt.InitPath == "" {
		return nil
	}
	source := b.opt.InitPath
	if source == "" {
		for _, name := range []string{"/usr/libexec/podman/catatonit", "/usr/bin/catatonit", "/usr/bin/tini-static", "/usr/bin/docker-init", "/sbin/tini-static"} {
			if unix.Access(name, unix.X_OK) == nil {
				source = name
				break
			}
		}
	}
	if source == "" || unix.Access(source, unix.X_OK) != nil {
		return fault.Hint(fault.NotFound("--init: no init program %s", source), "install catatonit or tini, or name a static one with --init-path FILE")
	}
	source, err := filepath.Abs(source)
	if err != nil {
		return fault.Usage("--init-path: %v", err)
	}
	from := byFlag("--init", source)
	b.setMount(from, newMount(initInside, "bind", source, "ro", "rprivate", "nosuid", "nodev", "bind"))
	args := b.doc.get("process", "args")
	if args == nil || len(args.items) > 0 && args.items[0].text() == initInside {
		return nil
	}
	prefix := []*node{newString(initInside), newString("--")}
	for _, n := range prefix {
		n.from = from
	}
	args.items = append(prefix, args.items...)
	return nil
}
