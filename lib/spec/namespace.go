package spec

import (
	"path"
	"slices"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
)

// namespaces applies the mode flags: host removes the entry, private adds it,
// ns:PATH joins the namespace of the path.
func (b *builder) namespaces() error {
	opt := b.opt
	for _, f := range []struct{ name, kind, mode string }{
		{"--pid", "pid", opt.PID},
		{"--network", "network", opt.Network},
		{"--ipc", "ipc", opt.IPC},
		{"--uts", "uts", opt.UTS},
		{"--cgroupns", "cgroup", opt.Cgroupns},
	} {
		mode := f.mode
		if f.kind == "network" && mode == "none" || f.kind == "ipc" && (mode == "shareable" || mode == "none") {
			mode = "private"
		}
		if err := b.namespace(f.name, f.kind, mode); err != nil {
			return err
		}
	}
	if opt.Network == "host" || strings.HasPrefix(opt.Network, "ns:") {
		b.shareResolver(byFlag("--network", "names are resolved as the host does"))
	}
	if opt.IPC == "host" {
		b.replaceMount(byFlag("--ipc", "shares /dev/shm with the host"),
			newMount("/dev/shm", "bind", "/dev/shm", "rbind", "rprivate", "nosuid", "noexec", "nodev"))
	}
	return nil
}

func (b *builder) namespace(name, kind, mode string) error {
	spaces := b.doc.get("linux", "namespaces")
	isKind := func(n *node) bool { return n.member("type").text() == kind }
	switch file, joins := strings.CutPrefix(mode, "ns:"); {
	case mode == "":
	case mode == "host":
		spaces.removeItems(isKind)
	case mode == "private":
		if !b.hasNamespace(kind) {
			b.addNamespace(byFlag(name, mode), kind)
		}
		for _, n := range b.doc.get("linux", "namespaces").each() {
			if isKind(n) {
				n.drop("path")
			}
		}
	case joins && path.IsAbs(file):
		if !b.hasNamespace(kind) {
			b.addNamespace(byFlag(name, mode), kind)
		}
		for _, n := range b.doc.get("linux", "namespaces").each() {
			if isKind(n) {
				p := newString(path.Clean(file))
				p.from = byFlag(name, mode)
				n.put("path", p)
			}
		}
	case strings.HasPrefix(mode, "container:"):
		return fault.Hint(fault.Usage("%s %s: containers by name are an engine's", name, mode), "give the namespace itself: %s ns:/proc/PID/ns/%s", name, procName(kind))
	case kind == "network":
		return fault.Hint(fault.Usage("%s %s: networks by name are an engine's", name, mode),
			"ip netns add lab; set it up with netavark or cnitool; %s ns:/run/netns/lab", name)
	default:
		return fault.Usage("%s %q is neither host nor private nor ns:/PATH", name, mode)
	}
	return nil
}

// shareResolver binds the host's resolv.conf, read-only: the process could
// else change it for the host.
func (b *builder) shareResolver(from *Origin) {
	const file = "/etc/resolv.conf"
	if !b.host.ResolvConf || slices.ContainsFunc(b.doc.get("mounts").each(), func(m *node) bool { return cleanDestination(m) == file }) {
		return
	}
	b.insertMount(from, newMount(file, "bind", file, "bind", "rprivate", "ro", "nosuid", "noexec", "nodev"))
}

// procName is the name of a kind of namespace in /proc/PID/ns.
func procName(kind string) string {
	switch kind {
	case "network":
		return "net"
	case "mount":
		return "mnt"
	default:
		return kind
	}
}

func (b *builder) hasNamespace(kind string) bool { return b.doc.hasNamespace(kind) }

func (d *Document) hasNamespace(kind string) bool {
	return slices.ContainsFunc(d.get("linux", "namespaces").each(), func(n *node) bool { return n.member("type").text() == kind })
}

// ownsNamespace reports whether the container gets a new namespace of the
// kind, neither the host's nor one that it joins.
func (d *Document) ownsNamespace(kind string) bool {
	return slices.ContainsFunc(d.get("linux", "namespaces").each(), func(n *node) bool {
		return n.member("type").text() == kind && n.member("path") == nil
	})
}

func (b *builder) addNamespace(from *Origin, kind string) {
	n := newObject(pair("type", newString(kind)))
	n.from = from
	list := b.doc.list(from, "linux", "namespaces")
	list.items = append(list.items, n)
}

// userNamespace applies --userns, --uidmap and --gidmap, and the maps with
// which the bundle was unpacked.
func (b *builder) userNamespace() error {
	opt := b.opt
	uids, err := idmap.Parse(opt.UIDMap)
	if err != nil {
		return err
	}
	gids, err := idmap.Parse(opt.GIDMap)
	if err != nil {
		return err
	}
	uidRanges, gidRanges, from := fromMap(uids), fromMap(gids), byFlag("--uidmap", "")
	switch {
	case len(uids) > 0 && len(gids) == 0:
		gidRanges = uidRanges
	case len(gids) > 0 && len(uids) == 0:
		uidRanges, from = gidRanges, byFlag("--gidmap", "")
	case len(uids) == 0 && b.profile != nil && !(b.host.UserNamespace && b.host.EUID == 0):
		// Below a user namespace the ids of the rootfs are mapped already.
		uidRanges, gidRanges, from = b.in.UIDMap, b.in.GIDMap, &Origin{Source: "bundle", Why: "the owners in the rootfs were mapped so"}
	}
	switch file, joins := strings.CutPrefix(opt.Userns, "ns:"); {
	case opt.Userns == "host":
		return b.hostUserNamespace()
	case joins && path.IsAbs(file):
		b.dropDeviceRules()
		return b.namespace("--userns", "user", opt.Userns)
	case opt.Userns == "keep-id":
		if uidRanges, gidRanges, err = b.keepID(); err != nil {
			return err
		}
		from = byFlag("--userns", keepIDWhy)
	case opt.Userns != "" && opt.Userns != "private":
		return fault.Usage("--userns %q is neither host nor private nor keep-id nor ns:/PATH", opt.Userns)
	case opt.Userns == "private" && len(uidRanges) == 0:
		if b.rootless || len(b.doc.get("linux", "uidMappings").each()) > 0 {
			break
		}
		return fault.Hint(fault.Usage("--userns private needs maps"), "add --uidmap 0:100000:65536 --gidmap 0:100000:65536")
	}
	if len(uidRanges) == 0 {
		return nil
	}
	b.mapUsers(from, uidRanges, gidRanges)
	return nil
}

const keepIDWhy = "the caller is the same user inside"

// keepID maps the caller to itself, root of the container to another id, and
// the rest to what they are where root is the caller: files that were unpacked
// so keep their owners. Without a root no runtime can set up a container.
func (b *builder) keepID() (uids, gids []IDRange, err error) {
	uid, gid := b.caller()
	h := b.host
	own, ownGroup := h.EUID, h.EGID
	var otherUIDs, otherGIDs IDRange
	switch {
	case h.EUID == 0 && h.UserNamespace:
		otherUIDs, otherGIDs = behindRoot(h.UIDMap), behindRoot(h.GIDMap)
	case h.EUID != 0 && h.Subordinate != nil:
		otherUIDs, otherGIDs = h.Subordinate()
		b.warn("--userns keep-id: runc makes such a container only below a user namespace that has root, as oci-mount IMAGE -- makes one; crun makes it here, too")
	}
	if uid > 0 && otherUIDs.Size == 0 || gid > 0 && otherGIDs.Size == 0 {
		return nil, nil, fault.Hint(fault.Refused("--userns keep-id: uid %d has no ids besides its own, of which one must be root of the container", uid),
			"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER, or leave --userns out and be root inside")
	}
	return keepOne(uid, own, otherUIDs), keepOne(gid, ownGroup, otherGIDs), nil
}

// caller is whom the host knows the caller as. Root of a user namespace is the
// one that made it.
func (b *builder) caller() (uid, gid uint32) {
	uid, gid = b.host.EUID, b.host.EGID
	if uid != 0 || !b.host.UserNamespace {
		return uid, gid
	}
	if outer, ok := toHost(b.host.UIDMap, uid); ok {
		uid = outer
	}
	if outer, ok := toHost(b.host.GIDMap, gid); ok {
		gid = outer
	}
	return uid, gid
}

// behindRoot is the range of ids from 1 on that are mapped where the caller
// is root.
func behindRoot(maps []IDRange) IDRange {
	for _, r := range maps {
		if r.Container <= 1 && r.Container+r.Size > 1 {
			return IDRange{1, 1, r.Container + r.Size - 1}
		}
	}
	return IDRange{}
}

// keepOne maps id to own, and the others as they are behind root; root takes
// the place of id among them.
func keepOne(id, own uint32, others IDRange) []IDRange {
	if id == 0 {
		return []IDRange{{0, own, 1}}
	}
	last := min(id, others.Size)
	list := []IDRange{{0, others.Host + last - 1, 1}, {1, others.Host, last - 1}, {id, own, 1}, {id + 1, others.Host + last, others.Size - last}}
	return slices.DeleteFunc(list, func(r IDRange) bool { return r.Size == 0 })
}

func (b *builder) hostUserNamespace() error {
	if b.rootless {
		return fault.Usage("--userns host and --rootless exclude each other")
	}
	b.doc.get("linux", "namespaces").removeItems(func(n *node) bool { return n.member("type").text() == "user" })
	b.doc.remove("linux", "uidMappings")
	b.doc.remove("linux", "gidMappings")
	return nil
}

func fromMap(m idmap.Map) []IDRange {
	var ranges []IDRange
	for _, r := range m {
		ranges = append(ranges, IDRange(r))
	}
	return ranges
}

// mapUsers adds the user namespace.
func (b *builder) mapUsers(from *Origin, uids, gids []IDRange) {
	if !b.hasNamespace("user") {
		b.addNamespace(from, "user")
	}
	b.doc.set(from, newRanges(uids), "linux", "uidMappings")
	b.doc.set(from, newRanges(gids), "linux", "gidMappings")
	b.dropDeviceRules()
}

// dropDeviceRules takes the rules of the device cgroup out: below a user
// namespace no device can be made.
func (b *builder) dropDeviceRules() {
	b.doc.remove("linux", "resources", "devices")
	b.dropEmptyResources()
}

func newRanges(ranges []IDRange) *node {
	list := newArray()
	for _, r := range ranges {
		list.items = append(list.items, newObject(
			pair("containerID", newUint(uint64(r.Container))), pair("hostID", newUint(uint64(r.Host))), pair("size", newUint(uint64(r.Size)))))
	}
	return list
}

func ranges(n *node) []IDRange {
	var list []IDRange
	for _, item := range n.each() {
		container, ok1 := item.member("containerID").uint()
		host, ok2 := item.member("hostID").uint()
		size, ok3 := item.member("size").uint()
		if ok1 && ok2 && ok3 && max(container, host, size) < 1<<32 {
			list = append(list, IDRange{uint32(container), uint32(host), uint32(size)})
		}
	}
	return list
}

// isMapped reports whether an id of the container is in the ranges.
func isMapped(ranges []IDRange, id uint64) bool {
	return slices.ContainsFunc(ranges, func(r IDRange) bool {
		return id >= uint64(r.Container) && id-uint64(r.Container) < uint64(r.Size)
	})
}

// hostnames writes hostname and domainname, which need a UTS namespace.
func (b *builder) hostnames() error {
	private := b.hasNamespace("uts")
	for _, f := range []struct{ flag, member, name string }{
		{"--hostname", "hostname", b.opt.Hostname}, {"--domainname", "domainname", b.opt.Domainname},
	} {
		switch {
		case f.name == "":
			if !private && (b.opt.UTS == "host" || b.profile != nil) {
				b.doc.remove(f.member)
			}
		case !private:
			return fault.Usage("%s needs a UTS namespace of the container's own, not --uts host", f.flag)
		case len(f.name) > 64 || strings.ContainsAny(f.name, "/\x00 \n"):
			return fault.Usage("%s %q is not a host name of at most 64 bytes", f.flag, clip(f.name))
		default:
			b.doc.set(byFlag(f.flag, ""), newString(f.name), f.member)
		}
	}
	return nil
}

// sysctls writes linux.sysctl. A key that no namespace of the container holds
// would change the host.
func (b *builder) sysctls() error {
	for _, s := range b.opt.Sysctl {
		key, value, ok := strings.Cut(s, "=")
		if !ok || key == "" {
			return fault.Usage("--sysctl %q is not KEY=VALUE", s)
		}
		if sysctlPath(key) == hostnameSysctl {
			return fault.Hint(fault.Usage("--sysctl %s conflicts with the hostname of the config.json", key), "give --hostname %s", value)
		}
		if space := sysctlNamespace(key); space == "" {
			return fault.Usage("--sysctl %s is not of a namespace: a runtime refuses it, since it would change the host", key)
		} else if !b.hasNamespace(space) {
			return fault.Usage("--sysctl %s needs a %s namespace of the container's own", key, space)
		}
		b.doc.set(byFlag("--sysctl", ""), newString(value), "linux", "sysctl", key)
	}
	return nil
}

// hostnameSysctl is of a namespace, but runtimes refuse it, for config.json has
// a member of its own for it.
const hostnameSysctl = "kernel.hostname"

// sysctlPath is the key with dots: slashes do as well.
func sysctlPath(key string) string { return strings.ReplaceAll(key, "/", ".") }

// sysctlNamespace is the kind of namespace that a key belongs to; "" for none.
// The list is runc's.
func sysctlNamespace(key string) string {
	key = sysctlPath(key)
	switch {
	case strings.HasPrefix(key, "net."):
		return "network"
	case strings.HasPrefix(key, "fs.mqueue."),
		slices.Contains([]string{"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"}, key):
		return "ipc"
	case key == "kernel.domainname" || key == hostnameSysctl:
		return "uts"
	case strings.HasPrefix(key, "user."):
		return "user"
	default:
		return ""
	}
}
