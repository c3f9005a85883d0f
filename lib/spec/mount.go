package spec

import (
	"encoding/csv"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// setOption puts the option into the mount in place of those of the given
// names (with or without a value), or adds it.
func setOption(from *Origin, m *node, option string, replaces ...string) {
	options := m.member("options")
	if options == nil || options.kind != kindArray {
		options = newArray()
		m.put("options", options)
	}
	n := newString(option)
	n.from = from
	at := -1
	for i := 0; i < len(options.items); i++ {
		key, _, _ := strings.Cut(options.items[i].text(), "=")
		if options.items[i].text() != option && !slices.Contains(replaces, key) {
			continue
		}
		if at < 0 {
			at = i
			if !options.items[i].equal(n) {
				options.items[i] = n
			}
			continue
		}
		options.items = slices.Delete(options.items, i, i+1)
		i--
	}
	if at < 0 {
		options.items = append(options.items, n)
	}
}

// addMount appends the mount.
func (b *builder) addMount(from *Origin, m *node) {
	m.from = from
	list := b.doc.list(from, "mounts")
	list.items = append(list.items, m)
}

// replaceMount puts the mount in the place of the last one on the same
// destination, and removes the others: what is mounted over is not seen.
func (b *builder) replaceMount(from *Origin, m *node) {
	at, list := -1, b.doc.list(from, "mounts")
	destination := cleanDestination(m)
	for i := len(list.items) - 1; i >= 0; i-- {
		if cleanDestination(list.items[i]) != destination {
			continue
		}
		if at >= 0 {
			list.items = slices.Delete(list.items, i, i+1)
			at--
			continue
		}
		at = i
		if !list.items[i].equal(m) {
			m.from = from
			list.items[i] = m
		}
	}
	if at < 0 {
		b.addMount(from, m)
	}
}

func cleanDestination(m *node) string { return path.Clean("/" + m.member("destination").text()) }

// insertMount places a mount behind all those it may lie in, and before all
// those that lie in it.
func (b *builder) insertMount(from *Origin, m *node) {
	list := b.doc.list(from, "mounts")
	destination := cleanDestination(m)
	for i, other := range list.items {
		if below(cleanDestination(other), destination) && cleanDestination(other) != destination {
			m.from = from
			list.items = slices.Insert(list.items, i, m)
			return
		}
	}
	b.addMount(from, m)
}

// below reports whether p is dir or lies in it.
func below(p, dir string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

// setMount replaces a mount of the same destination, or inserts it.
func (b *builder) setMount(from *Origin, m *node) {
	destination := cleanDestination(m)
	if slices.ContainsFunc(b.doc.get("mounts").each(), func(o *node) bool { return cleanDestination(o) == destination }) {
		b.replaceMount(from, m)
		return
	}
	b.insertMount(from, m)
}

// scratch puts a tmpfs with the content of the image on the directories that
// programs write to.
func (b *builder) scratch(from *Origin) {
	for _, dir := range []string{"/run", "/tmp", "/var/tmp"} {
		b.setMount(from, newMount(dir, "tmpfs", "tmpfs", "rw", "rprivate", "nosuid", "nodev", "tmpcopyup"))
	}
}

// isOn is the value of a flag that is true unless it is given.
func isOn(flag *bool) bool { return flag == nil || *flag }

// readOnly applies --read-only and --read-only-tmpfs.
func (b *builder) readOnly() error {
	if b.opt.ReadOnly == nil {
		return nil
	}
	if !*b.opt.ReadOnly {
		if b.doc.get("root", "readonly") != nil {
			b.doc.set(byFlag("--read-only", "false"), newBool(false), "root", "readonly")
		}
		return nil
	}
	b.doc.set(byFlag("--read-only", ""), newBool(true), "root", "readonly")
	if isOn(b.opt.ReadOnlyTmpfs) {
		for _, dir := range []string{"/run", "/tmp", "/var/tmp"} {
			m := newMount(dir, "tmpfs", "tmpfs", "rw", "rprivate", "nosuid", "nodev", "tmpcopyup")
			if !slices.ContainsFunc(b.doc.get("mounts").each(), func(o *node) bool { return cleanDestination(o) == dir }) {
				b.insertMount(byFlag("--read-only", "a place to write; --read-only-tmpfs=false leaves it out"), m)
			}
		}
	}
	return nil
}

// flagMounts applies -v, --mount, --tmpfs, --shm-size and --tz.
func (b *builder) flagMounts() error {
	for _, v := range b.opt.Volumes {
		m, err := parseVolume(v)
		if err != nil {
			return err
		}
		if err := b.mountByFlag("--volume", m); err != nil {
			return err
		}
	}
	for _, v := range b.opt.Mounts {
		m, err := parseMount(v)
		if err != nil {
			return err
		}
		if err := b.mountByFlag("--mount", m); err != nil {
			return err
		}
	}
	for _, v := range b.opt.Tmpfs {
		destination, options, _ := strings.Cut(v, ":")
		m, err := newTmpfs("--tmpfs", destination, splitOptions(options))
		if err != nil {
			return err
		}
		if err := b.mountByFlag("--tmpfs", m); err != nil {
			return err
		}
	}
	return b.smallMounts()
}

func (b *builder) mountByFlag(name string, m *node) error {
	destination := cleanDestination(m)
	if destination == "/" {
		return fault.Usage("%s: the destination is the root itself", name)
	}
	for _, option := range m.member("options").texts() {
		b.propagate(byFlag(name, ""), option)
	}
	b.setMount(byFlag(name, ""), m)
	return nil
}

// propagate raises rootfsPropagation for a mount that asks for more than
// private: the kernel propagates nothing below a private root.
func (b *builder) propagate(from *Origin, option string) {
	current := b.doc.text("linux", "rootfsPropagation")
	switch option {
	case "shared", "rshared":
		b.doc.set(from, newString("shared"), "linux", "rootfsPropagation")
	case "slave", "rslave":
		if current != "shared" {
			b.doc.set(from, newString("slave"), "linux", "rootfsPropagation")
		}
	}
}

var propagations = []string{"private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable"}

// mountFlags are the words that -v understands.
var mountFlags = []string{
	"ro", "rw", "rro", "exec", "noexec", "dev", "nodev", "suid", "nosuid", "private", "rprivate", "shared", "rshared", "slave", "rslave",
	"unbindable", "runbindable", "bind", "rbind", "idmap", "ridmap", "sync", "async", "relatime", "norelatime", "noatime", "strictatime", "nosymfollow",
}

// opposites exclude each other: the kernel would take the last one.
var opposites = [][]string{propagations, {"ro", "rw"}, {"rro", "rw"}, {"exec", "noexec"}, {"dev", "nodev"}, {"suid", "nosuid"}, {"sync", "async"}}

func refuseOpposites(name string, options []string) error {
	for _, group := range opposites {
		if given := intersect(group, options); len(given) > 1 {
			return fault.Usage("%s: the options %s and %s exclude each other", name, given[0], given[1])
		}
	}
	return nil
}

// parseVolume reads SOURCE:DESTINATION[:OPTIONS] of a bind mount.
func parseVolume(v string) (*node, error) {
	parts := strings.Split(v, ":")
	if len(parts) == 1 || parts[0] == "" || parts[0][0] != '/' && parts[0][0] != '.' {
		return nil, fault.Hint(fault.Usage("--volume %q: named and anonymous volumes are an engine's", v),
			"make a directory, and give its path: --volume /srv/data:/data")
	}
	if len(parts) > 3 || parts[1] == "" || !path.IsAbs(parts[1]) {
		return nil, fault.Usage("--volume %q is not SOURCE:/DESTINATION[:OPTIONS]", v)
	}
	options := ""
	if len(parts) == 3 {
		options = parts[2]
	}
	return newBind("--volume", parts[0], parts[1], splitOptions(options))
}

func splitOptions(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// newBind makes a bind mount with podman's options: those given, then the
// defaults for what they leave open.
func newBind(name, source, destination string, options []string) (*node, error) {
	abs, err := filepath.Abs(source)
	if err != nil {
		return nil, fault.Usage("%s: source %q: %v", name, source, err)
	}
	if err := refuseOpposites(name, options); err != nil {
		return nil, err
	}
	var list []string
	var mode, propagation, bind bool
	for _, o := range options {
		switch o {
		case "z", "Z", "U":
			return nil, fault.Hint(fault.Usage("%s option %q relabels or changes the owner of host files: an engine's matter", name, o), "use chcon or chown")
		case "O":
			return nil, fault.Hint(fault.Usage("%s option O is an overlay that an engine mounts", name), "mount the overlay first, and bind it")
		case "copy", "nocopy":
			continue
		}
		if !slices.Contains(mountFlags, o) {
			return nil, fault.Usage("%s: unknown option %q", name, o)
		}
		mode = mode || o == "ro" || o == "rw" || o == "rro"
		propagation = propagation || strings.HasSuffix(o, "private") || strings.HasSuffix(o, "shared") || strings.HasSuffix(o, "slave") || strings.HasSuffix(o, "unbindable")
		bind = bind || o == "bind" || o == "rbind"
		if !slices.Contains(list, o) {
			list = append(list, o)
		}
	}
	if !mode {
		list = append(list, "rw")
	}
	if !propagation {
		list = append(list, "rprivate")
	}
	if !bind {
		list = append(list, "rbind")
	}
	return newMount(path.Clean(destination), "bind", abs, list...), nil
}

// parseMount reads type=TYPE,KEY=VALUE,…, with quotes around a field that has a
// comma in it.
func parseMount(v string) (*node, error) {
	fields, err := csv.NewReader(strings.NewReader(v)).Read()
	if err != nil {
		return nil, fault.Usage("--mount %q: %w", v, err)
	}
	kind, source, destination := "bind", "", ""
	var options []string
	recursive := "rbind"
	for _, field := range fields {
		key, value, hasValue := strings.Cut(field, "=")
		on := !hasValue || value == "true" || value == "1"
		switch key {
		case "type":
			kind = value
		case "src", "source":
			source = value
		case "dst", "destination", "target":
			destination = value
		case "ro", "readonly":
			options = append(options, choose(on, "ro", "rw"))
		case "rw":
			options = append(options, choose(on, "rw", "ro"))
		case "bind-propagation":
			options = append(options, value)
		case "bind-nonrecursive":
			recursive = choose(on, "bind", "rbind")
		case "bind-recursive":
			switch value {
			case "disabled":
				recursive = "bind"
			case "readonly":
				options = append(options, "rro")
			}
		case "tmpfs-size":
			options = append(options, "size="+value)
		case "tmpfs-mode":
			options = append(options, "mode="+value)
		case "notmpcopyup":
			options = append(options, "notmpcopyup")
		case "tmpcopyup", "consistency":
			// The first is the default, the second of no effect on Linux.
		case "chown", "U", "relabel", "volume-opt", "volume-driver", "volume-nocopy", "volume-label", "idmap":
			return nil, fault.Usage("--mount: %s is an engine's matter", key)
		default:
			options = append(options, field)
		}
	}
	if !path.IsAbs(destination) {
		return nil, fault.Usage("--mount %q: destination %q is not an absolute path", v, destination)
	}
	switch kind {
	case "bind":
		if source == "" {
			return nil, fault.Usage("--mount %q has no source", v)
		}
		return newBind("--mount", source, destination, append(options, recursive))
	case "tmpfs":
		if source != "" {
			return nil, fault.Usage("--mount %q: a tmpfs has no source", v)
		}
		return newTmpfs("--mount", destination, options)
	case "devpts":
		return newMount(path.Clean(destination), "devpts", "devpts", append([]string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}, options...)...), nil
	case "proc", "sysfs", "mqueue", "cgroup", "ramfs":
		return newMount(path.Clean(destination), kind, kind, append([]string{"nosuid", "noexec", "nodev"}, options...)...), nil
	default:
		return nil, fault.Hint(fault.Usage("--mount type=%s is an engine's", kind), "mount it on a directory first, and give type=bind")
	}
}

func choose(on bool, yes, no string) string {
	if on {
		return yes
	}
	return no
}

// tmpfsFlags are the words that a tmpfs takes besides those of any mount, and
// tmpfsValues those with a value (tmpfs(5), mount(8)).
var (
	tmpfsFlags = []string{
		"tmpcopyup", "notmpcopyup", "inode32", "inode64", "noswap", "usrquota", "grpquota", "quota", "defaults", "atime", "diratime", "nodiratime",
		"dirsync", "lazytime", "nolazytime", "iversion", "noiversion", "mand", "nomand", "silent", "loud", "nostrictatime", "symfollow",
	}
	tmpfsValues = []string{
		"size", "nr_blocks", "nr_inodes", "mode", "uid", "gid", "huge", "mpol", "context", "rootcontext", "fscontext", "defcontext",
		"usrquota_block_hardlimit", "usrquota_inode_hardlimit", "grpquota_block_hardlimit", "grpquota_inode_hardlimit",
	}
)

func checkTmpfsOption(name, option string) error {
	key, _, hasValue := strings.Cut(option, "=")
	if hasValue && slices.Contains(tmpfsValues, key) || !hasValue && (slices.Contains(mountFlags, key) || slices.Contains(tmpfsFlags, key)) {
		return nil
	}
	return fault.Usage("%s: unknown option %q of a tmpfs", name, option)
}

// newTmpfs makes a tmpfs with podman's options, those given first. The last
// of opposite words is the kernel's choice, so the defaults that a given
// option contradicts are left out.
func newTmpfs(name, destination string, options []string) (*node, error) {
	if !path.IsAbs(destination) {
		return nil, fault.Usage("tmpfs destination %q is not an absolute path", destination)
	}
	if err := refuseOpposites(name, options); err != nil {
		return nil, err
	}
	for _, o := range options {
		if err := checkTmpfsOption(name, o); err != nil {
			return nil, err
		}
	}
	list := slices.Clone(options)
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return slices.Contains(list, w) })
	}
	for _, d := range []struct {
		option  string
		instead []string
	}{
		{"rw", []string{"ro", "rw"}},
		{"rprivate", propagations},
		{"nosuid", []string{"suid", "nosuid"}},
		{"nodev", []string{"dev", "nodev"}},
		{"tmpcopyup", []string{"notmpcopyup", "tmpcopyup"}},
	} {
		if !has(d.instead...) {
			list = append(list, d.option)
		}
	}
	list = slices.DeleteFunc(list, func(o string) bool { return o == "notmpcopyup" })
	return newMount(path.Clean(destination), "tmpfs", "tmpfs", list...), nil
}
