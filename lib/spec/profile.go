package spec

import (
	"slices"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// Profile is a set of defaults: what a config.json has that neither the image
// nor a flag asks for.
type Profile struct {
	// Name is podman, docker, runc, minimal or hardened.
	Name string
	// Capabilities is the bounding set.
	Capabilities []string
	// EffectiveForUsers fills the effective and permitted set for a user
	// other than root, too. The kernel clears them at the change of the user.
	EffectiveForUsers bool
	// Seccomp is true for moby's seccomp profile.
	Seccomp bool
	// NoNewPrivileges and ReadOnly are the members of these names.
	NoNewPrivileges, ReadOnly bool
	// Scratch adds a tmpfs on /run, /tmp and /var/tmp.
	Scratch bool
	// Hostname is the host name; empty for none.
	Hostname string
	// DefaultPath adds PATH where the image has none.
	DefaultPath bool
	// Pids limits the processes of a container that root starts; 0 is no limit.
	Pids int64
	// NoFile is the RLIMIT_NOFILE; 0 leaves the caller's.
	NoFile uint64
	// Mounts are the seven base mounts; without them there is /proc alone,
	// which runc cannot start a process without.
	Mounts bool
	// ProcOptions are the options of /proc.
	ProcOptions []string
	// MaskedPaths and ReadonlyPaths are hidden, and kept from writing.
	MaskedPaths, ReadonlyPaths []string
	// ThermalThrottle masks the directory of this name of each CPU, too.
	ThermalThrottle bool
	// Devices denies all devices but the runtime's own.
	Devices bool
	// CgroupNamespace adds one where the host has cgroup v2.
	CgroupNamespace bool
}

// Profiles are the names that LookupProfile knows.
var profileNames = []string{"podman", "docker", "runc", "minimal", "hardened"}

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

var (
	podmanCapabilities = []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_NET_BIND_SERVICE",
		"CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
	}
	dockerCapabilities = append([]string{"CAP_AUDIT_WRITE", "CAP_MKNOD", "CAP_NET_RAW"}, podmanCapabilities...)
	runcCapabilities   = []string{"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"}

	mobyMasked = []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
		"/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
	}
	// Masking what the other engines leave open costs nothing: paths that the
	// host lacks are passed over by the runtime.
	unionMasked = append(slices.Clone(mobyMasked), "/sys/fs/selinux", "/sys/dev/block")
	runcMasked  = []string{
		"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
		"/proc/sched_debug", "/sys/firmware", "/proc/scsi",
	}
	readonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)

// LookupProfile returns the defaults of the name; "" is podman.
func LookupProfile(name string) (*Profile, error) {
	nodev := []string{"nosuid", "noexec", "nodev"}
	p := &Profile{
		Name: "podman", Capabilities: slices.Sorted(slices.Values(podmanCapabilities)), Seccomp: true, DefaultPath: true, Pids: 2048,
		Mounts: true, ProcOptions: nodev, MaskedPaths: unionMasked, ReadonlyPaths: readonlyPaths, ThermalThrottle: true, Devices: true, CgroupNamespace: true,
	}
	switch name {
	case "", "podman":
	case "docker":
		p.Name, p.EffectiveForUsers, p.Pids, p.MaskedPaths = name, true, 0, mobyMasked
		p.Capabilities = slices.Sorted(slices.Values(dockerCapabilities))
	case "runc":
		*p = Profile{
			Name: name, Capabilities: runcCapabilities, EffectiveForUsers: true, NoNewPrivileges: true, ReadOnly: true, Hostname: "runc",
			DefaultPath: true, NoFile: 1024, Mounts: true, MaskedPaths: runcMasked, ReadonlyPaths: readonlyPaths, Devices: true, CgroupNamespace: true,
		}
	case "minimal":
		*p = Profile{Name: name, ProcOptions: nodev}
	case "hardened":
		p.Name, p.Capabilities, p.NoNewPrivileges, p.ReadOnly, p.Scratch, p.Pids = name, nil, true, true, true, 512
	default:
		return nil, fault.Usage("unknown defaults %q: the names are podman, docker, runc, minimal and hardened", name)
	}
	return p, nil
}

// baseMounts are the mounts of each engine, parents first.
func (p *Profile) baseMounts(h *Host) []*node {
	mounts := []*node{newMount("/proc", "proc", "proc", p.ProcOptions...)}
	if !p.Mounts {
		return mounts
	}
	mounts = append(mounts,
		newMount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
		newMount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
		newMount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
		newMount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
		newMount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"),
		newMount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro"))
	if !h.Mqueue {
		mounts = slices.Delete(mounts, 4, 5)
	}
	return mounts
}

func newMount(destination, kind, source string, options ...string) *node {
	m := newObject(
		pair("destination", newString(destination)),
		pair("type", newString(kind)),
		pair("source", newString(source)),
	)
	if len(options) > 0 {
		m.put("options", newStrings(options))
	}
	return m
}

// namespaces are those that every profile creates. The minimal one has them,
// too: without a mount namespace a runtime would work on the file system of
// the host (image-tools issue 76).
func (p *Profile) namespaces(h *Host) []string {
	list := []string{"pid", "network", "ipc", "uts", "mount"}
	if p.CgroupNamespace && h.CgroupV2 {
		list = append(list, "cgroup")
	}
	return list
}
