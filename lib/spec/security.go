package spec

import (
	"path"
	"slices"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// securityOptions applies --security-opt. Both separators that docker knows,
// "=" and ":", stand between key and value.
func (b *builder) securityOptions() error {
	for _, option := range b.opt.SecurityOpt {
		key, value, hasValue := strings.Cut(option, "=")
		if !hasValue {
			key, value, hasValue = strings.Cut(option, ":")
		}
		from := byFlag("--security-opt", option)
		var err error
		switch {
		case key == "no-new-privileges" && (!hasValue || value == "true" || value == "false"):
			b.doc.set(from, newBool(value != "false"), "process", "noNewPrivileges")
		case key == "seccomp" && value != "":
			// finish applies it, when the capabilities are final.
		case key == "apparmor" && value != "":
			b.appArmor(from, value)
		case key == "label" && value != "":
			err = b.label(from, value)
		case key == "mask" && value != "":
			err = b.mask(from, value)
		case key == "unmask" && value != "":
			b.unmaskCgroups(from, value)
			err = b.unmask(value)
		case key == "systempaths" && value == "unconfined":
			err = b.unmask("ALL")
		case key == "proc-opts" && value != "":
			b.procOptions(from, strings.Split(value, ","))
		default:
			err = fault.Hint(fault.Usage("unknown --security-opt %q", option),
				"no-new-privileges, seccomp=FILE|unconfined, apparmor=PROFILE|unconfined, label=disable|TYPE:VALUE, mask=PATHS, unmask=PATHS|ALL, proc-opts=OPTIONS")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// seccompOption is the last seccomp= of --security-opt, or "".
func (b *builder) seccompOption() string {
	for _, option := range slices.Backward(b.opt.SecurityOpt) {
		for _, prefix := range []string{"seccomp=", "seccomp:"} {
			if value, ok := strings.CutPrefix(option, prefix); ok {
				return value
			}
		}
	}
	return ""
}

func (b *builder) appArmor(from *Origin, profile string) {
	switch {
	case profile == "unconfined" && !b.host.AppArmor:
		b.doc.remove("process", "apparmorProfile")
	case !b.host.AppArmor:
		b.warn("--security-opt apparmor=%s: AppArmor is not active here, a runtime will refuse it", profile)
		fallthrough
	default:
		b.doc.set(from, newString(profile), "process", "apparmorProfile")
	}
}

// label writes the SELinux labels: user, role, type and level replace the part
// of this name in process.selinuxLabel and linux.mountLabel.
func (b *builder) label(from *Origin, value string) error {
	if value == "disable" {
		b.doc.remove("process", "selinuxLabel")
		b.doc.remove("linux", "mountLabel")
		return nil
	}
	key, text, _ := strings.Cut(value, ":")
	place := slices.Index([]string{"user", "role", "type", "level"}, key)
	if place < 0 || text == "" {
		return fault.Usage("--security-opt label=%s: not disable, user:, role:, type: or level:", value)
	}
	if !b.host.SELinux {
		b.warn("--security-opt label=%s: SELinux is not active here, a runtime will refuse it", value)
	}
	for _, member := range []struct {
		path     []string
		fallback string
	}{
		{[]string{"process", "selinuxLabel"}, "system_u:system_r:container_t:s0"},
		{[]string{"linux", "mountLabel"}, "system_u:object_r:container_file_t:s0"},
	} {
		if key != "level" && member.path[0] == "linux" {
			// Process types and roles mean nothing on a file.
			if b.doc.get(member.path...) != nil {
				continue
			}
		}
		old := b.doc.text(member.path...)
		if old == "" {
			old = member.fallback
		}
		parts := strings.SplitN(old, ":", 4)
		for len(parts) < 4 {
			parts = append(parts, "")
		}
		if member.path[0] == "process" || key == "level" {
			parts[place] = text
		}
		b.doc.set(from, newString(strings.Join(parts, ":")), member.path...)
	}
	return nil
}

func (b *builder) mask(from *Origin, paths string) error {
	for p := range strings.SplitSeq(paths, ":") {
		if !path.IsAbs(p) {
			return fault.Usage("--security-opt mask: path %q is not absolute", p)
		}
		list := b.doc.list(from, "linux", "maskedPaths")
		n := newString(path.Clean(p))
		n.from = from
		if !slices.ContainsFunc(list.items, n.equal) {
			list.items = append(list.items, n)
		}
	}
	return nil
}

// unmask takes paths, which may be patterns, off both lists.
func (b *builder) unmask(paths string) error {
	lists := [][]string{{"linux", "maskedPaths"}, {"linux", "readonlyPaths"}}
	for pattern := range strings.SplitSeq(paths, ":") {
		all := strings.EqualFold(pattern, "ALL")
		if _, err := path.Match(pattern, ""); err != nil || !all && !path.IsAbs(pattern) {
			return fault.Usage("--security-opt unmask: %q is neither ALL nor an absolute path or pattern", pattern)
		}
		for _, list := range lists {
			n := b.doc.get(list...)
			n.removeItems(func(item *node) bool { return unmasks(pattern, item.text()) })
			if n != nil && len(n.items) == 0 {
				b.doc.remove(list...)
			}
		}
	}
	return nil
}

func unmasks(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return strings.EqualFold(pattern, "ALL") || ok && err == nil
}

// unmaskCgroups lets the container write to its cgroups when their path is among
// those: of the version 2 alone, which may be delegated. Podman does so, too.
func (b *builder) unmaskCgroups(from *Origin, paths string) {
	const cgroups = "/sys/fs/cgroup"
	asked := slices.ContainsFunc(strings.Split(paths, ":"), func(pattern string) bool {
		return unmasks(path.Clean(pattern), cgroups)
	})
	if !asked || !b.host.CgroupV2 {
		return
	}
	for _, m := range b.doc.get("mounts").each() {
		if m.member("type").text() == "cgroup" && m.member("destination").text() == cgroups {
			setOption(from, m, "rw", "ro")
		}
	}
}

// procOptions adds options to /proc. podman replaces them all, and so loses
// nosuid, noexec and nodev; here they stay.
func (b *builder) procOptions(from *Origin, options []string) {
	for _, m := range b.doc.get("mounts").each() {
		if m.member("type").text() != "proc" {
			continue
		}
		for _, option := range options {
			key, _, _ := strings.Cut(option, "=")
			setOption(from, m, option, key)
		}
	}
}
