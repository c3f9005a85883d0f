package spec

import (
	"slices"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// rootlessTransform changes the document so that a user without privileges
// can run it. Each change answers an error of runc (reference: runc's
// libcontainer/specconv rootless example). To apply it twice changes nothing.
func (b *builder) rootlessTransform() error {
	if !b.rootless {
		return nil
	}
	from := derived("rootless", "a user without privileges")
	if b.host.EUID == 0 && b.host.UserNamespace {
		// Root of a user namespace already: a second one is not needed, and
		// what the outer one does not map stays out of reach.
		return b.restrict(from, b.host.UIDMap, b.host.GIDMap)
	}
	if len(b.doc.get("linux", "uidMappings").each()) == 0 {
		uids, gids := b.in.UIDMap, b.in.GIDMap
		if len(uids) == 0 {
			uids, gids = []IDRange{{0, b.host.EUID, 1}}, []IDRange{{0, b.host.EGID, 1}}
		}
		b.mapUsers(derived("rootless", "the caller is root inside; without privileges only its own ids can be mapped"), uids, gids)
	}
	return b.restrict(from, ranges(b.doc.get("linux", "uidMappings")), ranges(b.doc.get("linux", "gidMappings")))
}

// restrict removes what needs ids outside the maps, or power over the host.
func (b *builder) restrict(from *Origin, uids, gids []IDRange) error {
	user := b.doc.get("process", "user")
	for _, id := range []struct {
		name   string
		ranges []IDRange
	}{{"uid", uids}, {"gid", gids}} {
		if n, ok := user.member(id.name).uint(); ok && !isMapped(id.ranges, n) {
			return fault.Hint(fault.Refused("the process runs as %s %d, which is not mapped without privileges", id.name, n),
				"run it as root of the container with --user 0:0, or map more ids with --uidmap and --gidmap from /etc/subuid and /etc/subgid")
		}
	}
	if groups := b.doc.get("process", "user", "additionalGids"); groups != nil {
		groups.removeItems(func(g *node) bool {
			gid, ok := g.uint()
			return len(gids) == 1 && gids[0].Size == 1 || ok && !isMapped(gids, gid)
		})
		if len(groups.items) == 0 {
			b.doc.remove("process", "user", "additionalGids")
		}
	}
	if b.opt.limits() {
		b.warn("limits of memory, processors and processes need privileges, or a delegated cgroup: left out")
	}
	b.doc.remove("linux", "resources")
	b.doc.remove("linux", "cgroupsPath")
	b.doc.remove("linux", "devices")
	if score, ok := b.doc.get("process", "oomScoreAdj").int(); ok && score < 0 {
		b.doc.remove("process", "oomScoreAdj")
		b.warn("a negative oom score needs privileges: left out")
	}
	for _, m := range b.doc.get("mounts").each() {
		b.restrictMount(from, m, uids, gids)
	}
	return nil
}

// restrictMount takes owners that are not mapped out of the options, and
// replaces a sysfs that the kernel would refuse.
func (b *builder) restrictMount(from *Origin, m *node, uids, gids []IDRange) {
	m.member("options").removeItems(func(o *node) bool {
		key, value, _ := strings.Cut(o.text(), "=")
		id, numeric, err := number(value)
		if !numeric || err != nil {
			return false
		}
		return key == "gid" && !isMapped(gids, uint64(id)) || key == "uid" && !isMapped(uids, uint64(id))
	})
	if m.member("type").text() == "sysfs" && !b.hasNamespace("network") {
		m.put("type", newString("none"))
		m.put("source", newString("/sys"))
		setOption(derived("rootless", "sysfs shows the network namespace, and only its owner may mount it"), m, "rbind", "bind")
		m.from = from
		masked := b.doc.list(from, "linux", "maskedPaths")
		kernel := newString("/sys/kernel")
		kernel.from = derived("rootless", "a bind of /sys shows the host's")
		if b.doc.get("linux", "maskedPaths") != nil && !slices.ContainsFunc(masked.items, kernel.equal) {
			masked.items = append(masked.items, kernel)
		}
	}
}

// limits reports whether a flag asks for a limit of the cgroup.
func (o *Options) limits() bool {
	r := &o.ResourceOptions
	return r.Memory+r.MemorySwap+r.MemoryReservation+r.CPUs+r.CpusetCPUs+r.CpusetMems != "" ||
		r.MemorySwappiness != nil || r.CPUShares != nil || r.CPUPeriod != nil || r.CPUQuota != nil || r.PidsLimit != nil || r.BlkioWeight != nil ||
		len(r.CgroupConf)+len(r.BlkioWeightDevice)+len(r.DeviceReadBps)+len(r.DeviceWriteBps)+len(r.DeviceReadIOPS)+len(r.DeviceWriteIOPS) > 0
}
