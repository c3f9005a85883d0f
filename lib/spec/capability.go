package spec

import (
	"slices"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// capabilities are the kernel's, by number (capability.h of Linux 5.9 and
// later).
var capabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK",
	"CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN",
	"CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE",
	"CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}

// capabilityNames are the names of the bits that are set.
func capabilityNames(bits uint64) []string {
	var names []string
	for i, name := range capabilities {
		if bits&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// parseCapability reads chown, CHOWN or CAP_CHOWN.
func parseCapability(s string) (string, error) {
	name := strings.ToUpper(s)
	if !strings.HasPrefix(name, "CAP_") {
		name = "CAP_" + name
	}
	if !slices.Contains(capabilities, name) {
		return "", fault.Hint(fault.Usage("unknown capability %q", s), "the names are those of capabilities(7), or ALL")
	}
	return name, nil
}

// adjust applies --cap-drop and --cap-add to a set: first ALL in either, then
// the drops, then the adds, so that "drop all, add chown" leaves chown. all
// is what ALL stands for, the caller's own bounding set.
func adjust(set, all, add, drop []string) (result, added []string, err error) {
	if hasAll(add) && hasAll(drop) {
		return nil, nil, fault.Usage("--cap-add ALL and --cap-drop ALL exclude each other")
	}
	result = slices.Clone(set)
	if hasAll(add) {
		result = slices.Clone(all)
	}
	if hasAll(drop) {
		result = nil
	}
	var dropped []string
	for _, s := range drop {
		if strings.EqualFold(s, "all") {
			continue
		}
		name, err := parseCapability(s)
		if err != nil {
			return nil, nil, err
		}
		dropped = append(dropped, name)
		result = slices.DeleteFunc(result, func(c string) bool { return c == name })
	}
	for _, s := range add {
		if strings.EqualFold(s, "all") {
			added = append(added, all...)
			continue
		}
		name, err := parseCapability(s)
		if err != nil {
			return nil, nil, err
		}
		if slices.Contains(dropped, name) {
			return nil, nil, fault.Usage("--cap-add %s and --cap-drop %s exclude each other", s, s)
		}
		if !slices.Contains(result, name) {
			result = append(result, name)
		}
		if !slices.Contains(added, name) {
			added = append(added, name)
		}
	}
	slices.Sort(result)
	slices.Sort(added)
	return result, slices.Compact(added), nil
}

// splitNames takes apart what stands with commas in one word.
func splitNames(words []string) []string {
	var names []string
	for _, w := range words {
		names = append(names, strings.Split(w, ",")...)
	}
	return names
}

func hasAll(list []string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, "all") })
}

// intersect keeps the elements of set that are in other, in order.
func intersect(set, other []string) []string {
	var both []string
	for _, s := range set {
		if slices.Contains(other, s) {
			both = append(both, s)
		}
	}
	return both
}
