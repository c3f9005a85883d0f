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
	if b.host.EUID == 0 && b.host.UserNamespace {
		// Root of a user namespace already: a second one is not needed, and
		// what the outer one does not map stays out of reach.
		return b.restrict(b.idMaps())
	}
	if len(b.doc.get("linux", "uidMappings").each()) == 0 {
		uids, gids := b.in.UIDMap, b.in.GIDMap
		if len(uids) == 0 {
			uids, gids = []IDRange{{0, b.host.EUID, 1}}, []IDRange{{0, b.host.EGID, 1}}
		}
		b.mapUsers(derived("rootless", "the caller is root inside; without privileges only its own ids can be mapped"), uids, gids)
	}
	return b.restrict(b.idMaps())
}

// restrict removes what needs ids outside the maps, or power over the host.
func (b *builder) restrict(uids, gids []IDRange) error {
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
			// runc sets no groups at all for a caller without privileges.
			return b.host.EUID != 0 || len(gids) == 1 && gids[0].Size == 1 || ok && !isMapped(gids, gid)
		})
		if len(groups.items) == 0 {
			b.doc.remove("process", "user", "additionalGids")
		}
	}
	b.restrictCgroup()
	b.doc.remove("linux", "devices")
	if score, ok := b.doc.get("process", "oomScoreAdj").int(); ok && score < 0 {
		b.doc.remove("process", "oomScoreAdj")
		b.warn("a negative oom score needs privileges: left out")
	}
	return nil
}

// restrictCgroup takes the limits out, unless the user's own systemd is asked to
// set them, to which that of the host leaves some controllers. Of devices it
// knows nothing.
func (b *builder) restrictCgroup() {
	if isSystemdPath(b.doc.text("linux", "cgroupsPath")) {
		b.doc.remove("linux", "resources", "devices")
		b.dropEmptyResources()
		return
	}
	if b.opt.limits() {
		b.warn("limits of memory, processors and processes need privileges, or the user's systemd (--cgroup-parent user.slice): left out")
	}
	b.doc.remove("linux", "resources")
	b.doc.remove("linux", "cgroupsPath")
}

// isSystemdPath reports whether the path is SLICE:PREFIX:NAME.
func isSystemdPath(cgroup string) bool { return strings.Count(cgroup, ":") == 2 }

// belowUserNamespace reports whether the container, or the runtime itself,
// lives below a user namespace: no device can be made there, and the kernel
// shows its file systems to the owners of the namespaces behind them only.
func (b *builder) belowUserNamespace() bool {
	return b.rootless || b.hasNamespace("user") || b.host.UserNamespace
}

// idMaps are the maps of the user namespace; none where it is not known.
func (b *builder) idMaps() (uids, gids []IDRange) {
	if b.hasNamespace("user") {
		return ranges(b.doc.get("linux", "uidMappings")), ranges(b.doc.get("linux", "gidMappings"))
	}
	return b.host.UIDMap, b.host.GIDMap
}

// mountsBelowUserNamespace replaces the mounts that the kernel refuses below
// a user namespace. A filter looks at them when it is asked for a namespace.
func (b *builder) mountsBelowUserNamespace() error {
	if !b.belowUserNamespace() || b.profile == nil && !b.rootless && !b.opt.modes() {
		return nil
	}
	uids, gids := b.idMaps()
	for _, m := range b.doc.get("mounts").each() {
		dropUnmappedOwners(m, uids, gids)
		switch kind := m.member("type").text(); {
		case kind == "proc" && !b.hasNamespace("pid"):
			b.bindInstead(m, "/proc", "proc shows the pid namespace, and only its owner may mount it")
		case kind == "sysfs" && !b.doc.ownsNamespace("network"):
			b.bindInstead(m, "/sys", "sysfs shows the network namespace, and only its owner may mount it")
		}
	}
	if !b.doc.ownsNamespace("ipc") {
		b.doc.get("mounts").removeItems(func(m *node) bool { return m.member("type").text() == "mqueue" })
	}
	if !b.doc.ownsNamespace("network") && !b.opt.Privileged {
		b.maskKernel()
	}
	return nil
}

// dropUnmappedOwners takes owners that are not mapped out of the options.
func dropUnmappedOwners(m *node, uids, gids []IDRange) {
	m.member("options").removeItems(func(o *node) bool {
		key, value, _ := strings.Cut(o.text(), "=")
		id, numeric, err := number(value)
		if !numeric || err != nil {
			return false
		}
		return key == "gid" && len(gids) > 0 && !isMapped(gids, uint64(id)) || key == "uid" && len(uids) > 0 && !isMapped(uids, uint64(id))
	})
}

// bindInstead makes a bind of the host's directory of the mount. The options
// of the file system itself mean nothing to a bind.
func (b *builder) bindInstead(m *node, dir, why string) {
	from := derived("user namespace", why)
	var lost []string
	m.member("options").removeItems(func(o *node) bool {
		other := !slices.Contains(mountFlags, o.text())
		if other {
			lost = append(lost, o.text())
		}
		return other
	})
	if len(lost) > 0 {
		b.warn("%s is the host's: %s has no effect", dir, strings.Join(lost, ","))
	}
	m.put("type", newString("bind"))
	m.put("source", newString(dir))
	setOption(from, m, "rprivate", propagations...)
	setOption(from, m, "rbind", "bind")
	m.from = from
}

// maskKernel hides the host's /sys/kernel where /sys is a bind.
func (b *builder) maskKernel() {
	bound := slices.ContainsFunc(b.doc.get("mounts").each(), func(m *node) bool {
		return cleanDestination(m) == "/sys" && m.member("source").text() == "/sys"
	})
	if !bound {
		return
	}
	from := derived("user namespace", "a bind of /sys shows the host's")
	masked, kernel := b.doc.list(from, "linux", "maskedPaths"), newString("/sys/kernel")
	if !slices.ContainsFunc(masked.items, kernel.equal) {
		kernel.from = from
		masked.items = append(masked.items, kernel)
	}
}

// modes reports whether a flag concerns a namespace that a mount shows.
func (o *Options) modes() bool {
	n := &o.NamespaceOptions
	return n.PID+n.Network+n.IPC+n.Userns != "" || len(n.UIDMap)+len(n.GIDMap) > 0
}

// limits reports whether a flag asks for a limit of the cgroup.
func (o *Options) limits() bool {
	r := &o.ResourceOptions
	return r.Memory+r.MemorySwap+r.MemoryReservation+r.CPUs+r.CpusetCPUs+r.CpusetMems != "" ||
		r.MemorySwappiness != nil || r.CPUShares != nil || r.CPUPeriod != nil || r.CPUQuota != nil || r.PidsLimit != nil || r.BlkioWeight != nil ||
		len(r.CgroupConf)+len(r.BlkioWeightDevice)+len(r.DeviceReadBps)+len(r.DeviceWriteBps)+len(r.DeviceReadIOPS)+len(r.DeviceWriteIOPS) > 0
}
