package spec

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
)

// Host are the facts of a machine, and of the caller on it, that decide what
// a runtime can do. Tests give fixed ones.
type Host struct {
	// Arch is the architecture in Go's words.
	Arch string
	// Binfmt are the architectures, in Go's words, that the kernel runs
	// through an interpreter.
	Binfmt []string
	// NoX32 is true where the kernel has not the x32 ABI of amd64.
	NoX32 bool
	// EUID and EGID are the caller's.
	EUID, EGID uint32
	// UserNamespace is true below the initial user namespace, in which uids
	// and gids are mapped by UIDMap and GIDMap.
	UserNamespace  bool
	UIDMap, GIDMap []IDRange
	// Bounding is the caller's capability bounding set, in kernel order;
	// HasSysResource whether CAP_SYS_RESOURCE is effective.
	Bounding       []string
	HasSysResource bool
	// CgroupV2 is true where /sys/fs/cgroup is a cgroup2 mount; CgroupHybrid
	// where cgroup2 lies beside the v1 controllers.
	CgroupV2, CgroupHybrid bool
	// SwapLimit is true where the memory controller limits swap, too.
	SwapLimit bool
	// Systemd is true where systemd runs.
	Systemd bool
	// Mqueue is true where the kernel has the mqueue file system.
	Mqueue bool
	// ResolvConf is true where the host has an /etc/resolv.conf to share.
	ResolvConf bool
	// AppArmor and SELinux are true where these modules are active.
	AppArmor, SELinux bool
	// ThermalThrottle are the per-CPU directories that moby masks.
	ThermalThrottle []string
	// Limits are the hard limits of the caller by their name, RLIMIT_NOFILE.
	Limits map[string]Limit
	// Subordinate returns the ids that /etc/subuid and /etc/subgid give the
	// caller, to be mapped from 1 on; empty ranges when there are none.
	Subordinate func() (uids, gids IDRange)
	// Getenv looks up a variable for --env NAME.
	Getenv func(string) (string, bool)
	// Environ lists all of them as NAME=VALUE, for --env 'PREFIX*'.
	Environ func() []string
}

// Limit is a pair of resource limits.
type Limit struct{ Soft, Hard uint64 }

// IDRange maps Size ids from Container on to as many from Host on.
type IDRange struct{ Container, Host, Size uint32 }

// ThisHost reads the facts of this machine. What cannot be read stays at the
// value that promises least.
func ThisHost() *Host {
	h := &Host{
		Arch: runtime.GOARCH, NoX32: noX32(), EUID: uint32(os.Geteuid()), EGID: uint32(os.Getegid()),
		UIDMap: readIDMap("/proc/self/uid_map"), GIDMap: readIDMap("/proc/self/gid_map"),
		Systemd:     isDir("/run/systemd/system"),
		SELinux:     isDir("/sys/fs/selinux/policy_capabilities"),
		Getenv:      os.LookupEnv,
		Environ:     os.Environ,
		Subordinate: subordinate,
		Limits:      readLimits(),
	}
	h.UserNamespace = !slices.Equal(h.UIDMap, []IDRange{{0, 0, 1<<32 - 1}})
	h.capabilities()
	h.ResolvConf = unix.Access("/etc/resolv.conf", unix.R_OK) == nil
	var st unix.Statfs_t
	if unix.Statfs("/sys/fs/cgroup", &st) == nil {
		h.CgroupV2 = st.Type == unix.CGROUP2_SUPER_MAGIC
	}
	if !h.CgroupV2 && unix.Statfs("/sys/fs/cgroup/unified", &st) == nil {
		h.CgroupHybrid = st.Type == unix.CGROUP2_SUPER_MAGIC
	}
	h.SwapLimit = limitsSwap(h.CgroupV2)
	if filesystems, err := os.ReadFile("/proc/filesystems"); err == nil {
		h.Mqueue = strings.Contains(string(filesystems), "\tmqueue\n")
	}
	if enabled, err := os.ReadFile("/sys/module/apparmor/parameters/enabled"); err == nil {
		h.AppArmor = strings.HasPrefix(string(enabled), "Y")
	}
	if dirs, err := filepath.Glob("/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle"); err == nil {
		h.ThermalThrottle = dirs
	}
	return h
}

func subordinate() (uids, gids IDRange) {
	subUIDs, _ := idmap.Subordinate("/etc/subuid", os.Geteuid())
	subGIDs, _ := idmap.Subordinate("/etc/subgid", os.Geteuid())
	return IDRange(subUIDs), IDRange(subGIDs)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// limitsSwap looks for the file of the limit. In version 2 the topmost cgroup
// has none, so that the caller's own is looked at.
func limitsSwap(v2 bool) bool {
	file := "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"
	if v2 {
		own, err := os.ReadFile("/proc/self/cgroup")
		if err != nil {
			return false
		}
		group, _ := strings.CutPrefix(strings.TrimSpace(string(own)), "0::")
		file = "/sys/fs/cgroup" + strings.TrimSuffix(group, "/") + "/memory.swap.max"
	}
	return unix.Access(file, unix.F_OK) == nil
}

func (h *Host) capabilities() {
	status, err := os.Open("/proc/self/status")
	if err != nil {
		return
	}
	defer status.Close()
	for lines := bufio.NewScanner(status); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), ":")
		bits, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		switch {
		case err != nil:
		case key == "CapBnd":
			h.Bounding = capabilityNames(bits)
		case key == "CapEff":
			h.HasSysResource = slices.Contains(capabilityNames(bits), "CAP_SYS_RESOURCE")
		}
	}
}

func readIDMap(path string) []IDRange {
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	var ranges []IDRange
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var r IDRange
		if _, err := fmt.Sscan(lines.Text(), &r.Container, &r.Host, &r.Size); err == nil {
			ranges = append(ranges, r)
		}
	}
	return ranges
}

// rlimitNumbers are the limits that a config.json can name.
var rlimitNumbers = map[string]int{
	"RLIMIT_AS": unix.RLIMIT_AS, "RLIMIT_CORE": unix.RLIMIT_CORE, "RLIMIT_CPU": unix.RLIMIT_CPU, "RLIMIT_DATA": unix.RLIMIT_DATA,
	"RLIMIT_FSIZE": unix.RLIMIT_FSIZE, "RLIMIT_LOCKS": unix.RLIMIT_LOCKS, "RLIMIT_MEMLOCK": unix.RLIMIT_MEMLOCK,
	"RLIMIT_MSGQUEUE": unix.RLIMIT_MSGQUEUE, "RLIMIT_NICE": unix.RLIMIT_NICE, "RLIMIT_NOFILE": unix.RLIMIT_NOFILE,
	"RLIMIT_NPROC": unix.RLIMIT_NPROC, "RLIMIT_RSS": unix.RLIMIT_RSS, "RLIMIT_RTPRIO": unix.RLIMIT_RTPRIO,
	"RLIMIT_RTTIME": unix.RLIMIT_RTTIME, "RLIMIT_SIGPENDING": unix.RLIMIT_SIGPENDING, "RLIMIT_STACK": unix.RLIMIT_STACK,
}

// readLimits asks by prlimit(2): the Go runtime raises the soft NOFILE limit
// of its own process at the start, so the hard one alone is trustworthy.
func readLimits() map[string]Limit {
	limits := make(map[string]Limit, len(rlimitNumbers))
	for name, number := range rlimitNumbers {
		var l unix.Rlimit
		if unix.Prlimit(0, number, nil, &l) == nil {
			limits[name] = Limit{Soft: l.Cur, Hard: l.Max}
		}
	}
	return limits
}

// binfmtArch maps the names of qemu's entries to Go's.
var binfmtArch = map[string]string{
	"qemu-aarch64": "arm64", "qemu-arm": "arm", "qemu-x86_64": "amd64", "qemu-i386": "386", "qemu-ppc64le": "ppc64le",
	"qemu-s390x": "s390x", "qemu-riscv64": "riscv64", "qemu-mips64el": "mips64le", "qemu-mipsel": "mipsle", "qemu-loongarch64": "loong64",
}

// CanRun reports whether programs of the architecture start here: natively,
// as the 32-bit form of it, or through an interpreter that the kernel knows.
func (h *Host) CanRun(arch string) bool {
	if arch == h.Arch || arch == "386" && h.Arch == "amd64" || arch == "arm" && h.Arch == "arm64" || slices.Contains(h.Binfmt, arch) {
		return true
	}
	for name, a := range binfmtArch {
		if a != arch {
			continue
		}
		state, err := os.ReadFile("/proc/sys/fs/binfmt_misc/" + name)
		if err == nil || !errors.Is(err, os.ErrNotExist) {
			return strings.HasPrefix(string(state), "enabled")
		}
	}
	return false
}
