package spec

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// rules are those that the schema lacks.
func (c *checker) rules() {
	for _, rule := range []func(){
		c.ruleVersion, c.ruleProcess, c.ruleEnv, c.ruleCapabilities, c.ruleRlimits, c.ruleRoot, c.ruleNamespaces,
		c.ruleMounts, c.rulePaths, c.ruleSysctl, c.ruleResources, c.ruleHooks, c.ruleMappings, c.ruleSeccomp, c.ruleDevices, c.ruleAnnotations, c.ruleNumbers,
	} {
		rule()
	}
}

func (c *checker) ruleVersion() {
	version := c.doc.text("ociVersion")
	if version == "" {
		c.fail(keys("ociVersion"), "set it to "+minVersion, "the version is missing or empty")
		return
	}
	for _, needed := range c.doc.neededVersions() {
		if compareVersions(version, needed) < 0 {
			c.warn(keys("ociVersion"), "set it to "+needed, "%s does not know all members in use, which came with %s", version, needed)
		}
	}
}

func (c *checker) ruleProcess() {
	process := c.doc.get("process")
	if process == nil {
		c.warn(keys("process"), "", "without a process the container can be created, but not started")
		return
	}
	args := process.member("args")
	switch {
	case args == nil || len(args.items) == 0:
		c.fail(keys("process/args"), "give a command: oci-genspec -c config.json -- COMMAND", "there is no command")
	case args.items[0].text() == "":
		c.fail(keys("process/args/0"), "give a command: oci-genspec -c config.json -- COMMAND", "the command is empty")
	}
	for i, n := range args.each() {
		if strings.IndexByte(n.text(), 0) >= 0 {
			c.fail(keys(fmt.Sprintf("process/args/%d", i)), "", "contains a NUL byte")
		}
	}
	cwd := process.member("cwd").text()
	switch {
	case cwd == "":
		c.fail(keys("process/cwd"), "set it to /", "the working directory is missing or empty")
	case !path.IsAbs(cwd):
		c.fail(keys("process/cwd"), "write it from the root on", "%q is not absolute", cwd)
	case below(path.Clean(cwd), "/proc"):
		c.warn(keys("process/cwd"), "", "%q lies in proc: a descriptor that the runtime left open may lead to the host (CVE-2024-21626)", cwd)
	}
	if c.doc.get("process", "consoleSize") != nil && !c.doc.Terminal() {
		c.warn(keys("process/consoleSize"), "", "has no effect without a terminal")
	}
}

func (c *checker) ruleEnv() {
	seen := make(map[string]int)
	hasPath := false
	for i, n := range c.doc.get("process", "env").each() {
		at := keys(fmt.Sprintf("process/env/%d", i))
		name, _, ok := strings.Cut(n.text(), "=")
		switch {
		case !ok:
			c.fail(at, "write NAME=VALUE", "%q has no equals sign", clip(n.text()))
		case name == "":
			c.fail(at, "", "%q has no name", clip(n.text()))
		case strings.IndexByte(n.text(), 0) >= 0:
			c.fail(at, "", "contains a NUL byte")
		}
		if first, twice := seen[name]; twice && ok {
			c.warn(at, "", "%s is there already, at /process/env/%d: runtimes differ in which one counts", name, first)
		}
		seen[name] = i
		hasPath = hasPath || name == "PATH"
	}
	args := c.doc.Args()
	if !hasPath && len(args) > 0 && args[0] != "" && !strings.Contains(args[0], "/") {
		c.fail(keys("process/env"), "add "+defaultPath+", or write the command with its path", "there is no PATH to find %q in", args[0])
	}
}

func (c *checker) ruleCapabilities() {
	sets := make(map[string][]string)
	for _, name := range []string{"bounding", "effective", "permitted", "inheritable", "ambient"} {
		sets[name] = c.doc.strings("process", "capabilities", name)
		for i, capability := range sets[name] {
			at := keys(fmt.Sprintf("process/capabilities/%s/%d", name, i))
			if !slices.Contains(capabilities, capability) {
				c.warn(at, "the names are those of capabilities(7), with CAP_", "%q is not a capability: a runtime passes over it", capability)
			}
		}
	}
	for _, r := range []struct{ subset, of string }{{"effective", "permitted"}, {"ambient", "permitted"}, {"ambient", "inheritable"}, {"permitted", "bounding"}} {
		for i, capability := range sets[r.subset] {
			if slices.Contains(sets[r.of], capability) {
				continue
			}
			at := keys(fmt.Sprintf("process/capabilities/%s/%d", r.subset, i))
			if r.of == "inheritable" {
				c.warn(at, "add it there, or take it out here", "%s is not inheritable, so the kernel cannot raise it: runc before 1.2 is silent about it", capability)
				continue
			}
			c.fail(at, "add it there, or take it out here", "%s is not %s", capability, r.of)
		}
	}
	if uid, ok := c.doc.get("process", "user", "uid").uint(); ok && uid != 0 && len(sets["effective"]) > 0 && len(sets["ambient"]) == 0 {
		c.warn(keys("process/capabilities/effective"), "add them to inheritable and ambient, too, if they are meant",
			"uid %d loses them at the change of the user", uid)
	}
	if len(sets["inheritable"]) > 0 && len(sets["ambient"]) == 0 {
		c.warn(keys("process/capabilities/inheritable"), "", "a program with file capabilities gains these (CVE-2022-24769)")
	}
}

func (c *checker) ruleRlimits() {
	seen := make(map[string]bool)
	for i, n := range c.doc.get("process", "rlimits").each() {
		at := keys(fmt.Sprintf("process/rlimits/%d", i))
		name := n.member("type").text()
		if _, known := rlimitNumbers[name]; !known {
			c.fail(append(at, "type"), "", "%q is not a limit of Linux", name)
		}
		if seen[name] {
			c.fail(append(at, "type"), "", "%s is there twice", name)
		}
		seen[name] = true
		soft, ok1 := n.member("soft").uint()
		hard, ok2 := n.member("hard").uint()
		if ok1 && ok2 && soft > hard {
			c.fail(append(at, "soft"), "", "the soft limit %s exceeds the hard one, %s", limitText(soft), limitText(hard))
		}
	}
}

func (c *checker) ruleRoot() {
	switch root := c.doc.get("root"); {
	case root == nil:
		c.fail(keys("root"), `add {"path": "rootfs"}`, "there is no root")
	case root.member("path").text() == "":
		c.fail(keys("root/path"), "set it to rootfs", "the path is missing or empty")
	}
}

func (c *checker) ruleNamespaces() {
	seen := make(map[string]bool)
	for i, n := range c.doc.get("linux", "namespaces").each() {
		at := keys(fmt.Sprintf("linux/namespaces/%d", i))
		kind := n.member("type").text()
		if seen[kind] {
			c.fail(append(at, "type"), "", "%s is there twice", kind)
		}
		seen[kind] = true
		if p := n.member("path"); p != nil && !path.IsAbs(p.text()) {
			c.fail(append(at, "path"), "", "%q is not absolute", p.text())
		}
	}
	if c.doc.get("linux") == nil {
		return
	}
	if !seen["mount"] {
		c.fail(keys("linux/namespaces"), "add a mount namespace", "without a mount namespace the container works on the file system of the host")
	}
	for _, r := range []struct {
		path []string
		kind string
	}{{keys("hostname"), "uts"}, {keys("domainname"), "uts"}, {keys("linux/timeOffsets"), "time"}} {
		if n := c.doc.get(r.path...); n != nil && !n.empty() && !seen[r.kind] {
			c.fail(r.path, "add a "+r.kind+" namespace, or take it out", "needs a %s namespace of the container's own", r.kind)
		}
	}
	if seen["user"] {
		c.refusedMounts()
	}
}

// refusedMounts notices what the kernel does not let the root of a user
// namespace mount: the file systems of namespaces that are not its own. Where
// the user namespace is joined, the others may be its own although they are
// joined, too.
func (c *checker) refusedMounts() {
	joined := c.doc.hasNamespace("user") && !c.doc.ownsNamespace("user")
	for i, m := range c.doc.get("mounts").each() {
		for _, r := range []struct{ fs, kind, cure string }{
			{"proc", "pid", "oci-genspec -c config.json --pid host makes a bind of /proc of it"},
			{"sysfs", "network", "oci-genspec -c config.json --network host makes a bind of /sys of it"},
			{"mqueue", "ipc", "take it out, as oci-genspec -c config.json --ipc host does"},
		} {
			if m.member("type").text() != r.fs || c.doc.ownsNamespace(r.kind) || joined && c.doc.hasNamespace(r.kind) {
				continue
			}
			c.fail(keys(fmt.Sprintf("mounts/%d", i)), r.cure, "%s shows the %s namespace, and below a user namespace only its owner may mount it", r.fs, r.kind)
		}
	}
}

func (c *checker) ruleMounts() {
	var before []string
	for i, m := range c.doc.get("mounts").each() {
		at := keys(fmt.Sprintf("mounts/%d", i))
		text := m.member("destination").text()
		destination := path.Clean("/" + text)
		switch {
		case text == "":
			c.fail(at, "", "there is no destination")
		case !path.IsAbs(text):
			c.warn(append(at, "destination"), "", "%q is not absolute", text)
		case slices.Contains(before, destination):
			c.warn(append(at, "destination"), "", "%s is mounted over: what an earlier mount shows there is hidden", destination)
		}
		for _, b := range before {
			if b != destination && below(b, destination) {
				c.warn(append(at, "destination"), "put it before that one", "%s hides %s, which was mounted before", destination, b)
			}
		}
		before = append(before, destination)
		c.ruleMount(at, m)
	}
}

func (c *checker) ruleMount(at []string, m *node) {
	options := m.member("options").texts()
	bind := slices.Contains(options, "bind") || slices.Contains(options, "rbind")
	if bind && m.member("source").text() == "" {
		c.fail(append(at, "source"), "", "a bind mount needs a source")
	}
	if m.member("type").text() == "bind" && !bind {
		c.warn(append(at, "options"), "add rbind or bind", "neither bind nor rbind is there: runtimes differ in what they do")
	}
	if slices.Contains(options, "rbind") && slices.Contains(options, "ro") {
		source := m.member("source").text()
		if source == "/" || source == "/sys" || source == "/run" || source == "/mnt" {
			c.warn(append(at, "options"), "use rro where the kernel has it (5.12)", "ro does not reach the mounts below %s", source)
		}
	}
	if kind := m.member("type").text(); kind == "proc" || kind == "sysfs" {
		for _, want := range []string{"nosuid", "noexec", "nodev"} {
			if !slices.Contains(options, want) && len(options) > 0 {
				c.warn(append(at, "options"), "add "+want, "%s lacks %s", kind, want)
			}
		}
	}
}

func (c *checker) rulePaths() {
	for _, list := range []string{"maskedPaths", "readonlyPaths"} {
		for i, p := range c.doc.strings("linux", list) {
			if !path.IsAbs(p) {
				c.fail(keys(fmt.Sprintf("linux/%s/%d", list, i)), "", "%q is not absolute", p)
			}
		}
	}
	if p := c.doc.text("linux", "rootfsPropagation"); p == "private" || p == "rprivate" {
		for i, m := range c.doc.get("mounts").each() {
			for _, o := range m.member("options").texts() {
				if o == "rshared" || o == "shared" {
					c.warn(keys(fmt.Sprintf("mounts/%d/options", i)), "set /linux/rootfsPropagation to shared", "%s has no effect below a private root", o)
				}
			}
		}
	}
}

func (c *checker) ruleSysctl() {
	sysctl := c.doc.get("linux", "sysctl")
	if sysctl == nil {
		return
	}
	for _, m := range sysctl.members {
		at := []string{"linux", "sysctl", m.key}
		switch kind := sysctlNamespace(m.key); {
		case sysctlPath(m.key) == hostnameSysctl:
			c.fail(at, "set /hostname", "conflicts with the hostname of the config.json, a runtime refuses it")
		case kind == "":
			c.fail(at, "set it on the host with sysctl(8)", "is of no namespace, a runtime refuses it")
		case !c.doc.hasNamespace(kind):
			c.fail(at, "add a "+kind+" namespace", "needs a %s namespace of the container's own, else it changes the host", kind)
		}
	}
}

func (c *checker) ruleResources() {
	memory := c.doc.get("linux", "resources", "memory")
	limit, hasLimit := memory.member("limit").int()
	swap, hasSwap := memory.member("swap").int()
	reservation, hasReservation := memory.member("reservation").int()
	if hasLimit && hasSwap && swap > 0 && swap < limit {
		c.fail(keys("linux/resources/memory/swap"), "", "memory and swap together, %d, are less than the limit %d", swap, limit)
	}
	if hasSwap && swap > 0 && !hasLimit {
		c.fail(keys("linux/resources/memory/swap"), "set a limit, too", "needs a memory limit")
	}
	if hasLimit && hasReservation && limit >= 0 && reservation > limit {
		c.fail(keys("linux/resources/memory/reservation"), "", "%d exceeds the limit %d", reservation, limit)
	}
	if limit, ok := c.doc.get("linux", "resources", "pids", "limit").int(); ok && limit == 0 {
		c.warn(keys("linux/resources/pids/limit"), "write -1 for unlimited, or a number", "0 means unlimited to some runtimes and none to others (runtime-spec 1.3)")
	}
	cgroup := c.doc.text("linux", "cgroupsPath")
	systemd := isSystemdPath(cgroup)
	switch {
	case cgroup == "":
	case c.opt.SystemdCgroup && !systemd:
		c.fail(keys("linux/cgroupsPath"), "write SLICE:PREFIX:NAME", "%q is not of the form that systemd needs", cgroup)
	case !c.opt.SystemdCgroup && systemd:
		c.warn(keys("linux/cgroupsPath"), "run it with runc --systemd-cgroup", "%q is of the form for systemd", cgroup)
	}
}

func (c *checker) ruleHooks() {
	hooks := c.doc.get("hooks")
	if hooks == nil {
		return
	}
	for _, stage := range hooks.members {
		if !slices.Contains(hookStages, stage.key) {
			c.warn([]string{"hooks", stage.key}, "", "is not a stage of the runtime-spec")
		}
		for i, h := range stage.value.each() {
			if p := h.member("path").text(); !path.IsAbs(p) {
				c.fail([]string{"hooks", stage.key, itoa(i), "path"}, "", "%q is not absolute", p)
			}
		}
	}
}

// ruleMappings compares the ids in use with the maps of the user namespace.
func (c *checker) ruleMappings() {
	if !c.doc.hasNamespace("user") {
		if c.doc.get("linux", "uidMappings") != nil {
			c.fail(keys("linux/uidMappings"), "add a user namespace", "maps need a user namespace")
		}
		return
	}
	uids, gids := ranges(c.doc.get("linux", "uidMappings")), ranges(c.doc.get("linux", "gidMappings"))
	if len(uids) == 0 && len(gids) == 0 {
		if !slices.ContainsFunc(c.doc.get("linux", "namespaces").each(), func(n *node) bool {
			return n.member("type").text() == "user" && n.member("path") != nil
		}) {
			c.fail(keys("linux/uidMappings"), "add uidMappings and gidMappings", "a new user namespace needs maps")
		}
		return
	}
	for _, id := range []struct {
		name   string
		ranges []IDRange
	}{{"uid", uids}, {"gid", gids}} {
		if n, ok := c.doc.get("process", "user", id.name).uint(); ok && !isMapped(id.ranges, n) {
			c.fail([]string{"process", "user", id.name}, "map it, or choose another", "%s %d is not mapped", id.name, n)
		}
	}
	for i, g := range c.doc.get("process", "user", "additionalGids").each() {
		if n, ok := g.uint(); ok && !isMapped(gids, n) {
			c.fail(keys(fmt.Sprintf("process/user/additionalGids/%d", i)), "map it, or take it out", "gid %d is not mapped", n)
		}
	}
	for i, m := range c.doc.get("mounts").each() {
		for j, o := range m.member("options").texts() {
			key, value, _ := strings.Cut(o, "=")
			n, numeric, err := number(value)
			if !numeric || err != nil {
				continue
			}
			if key == "gid" && !isMapped(gids, uint64(n)) || key == "uid" && !isMapped(uids, uint64(n)) {
				c.fail(keys(fmt.Sprintf("mounts/%d/options/%d", i, j)), "take it out, as oci-genspec --rootless does", "%s is not mapped", o)
			}
		}
	}
}

// ruleSeccomp notices rules that were made for another bounding set.
func (c *checker) ruleSeccomp() {
	n := c.doc.get("linux", "seccomp")
	if n == nil {
		if c.doc.get("linux") != nil {
			c.warn(keys("linux/seccomp"), "oci-genspec -c config.json --security-opt seccomp=default", "there is no seccomp filter: all system calls are open")
		}
		return
	}
	for _, key := range []string{"archMap", "includes", "excludes"} {
		if n.member(key) != nil {
			c.fail([]string{"linux", "seccomp", key}, "oci-genspec --security-opt seccomp=FILE resolves it", "belongs to a profile of docker, a runtime ignores it")
		}
	}
	allowed := make(map[string]bool)
	for _, rule := range n.member("syscalls").each() {
		if rule.member("action").text() != "SCMP_ACT_ALLOW" || len(rule.member("args").each()) > 0 {
			continue
		}
		for _, name := range rule.member("names").texts() {
			allowed[name] = true
		}
	}
	bounding := c.doc.strings("process", "capabilities", "bounding")
	for _, r := range []struct{ capability, call string }{{"CAP_SYS_ADMIN", "mount"}, {"CAP_SYS_CHROOT", "chroot"}, {"CAP_SYS_MODULE", "init_module"}, {"CAP_SYS_BOOT", "reboot"}, {"CAP_SYS_TIME", "settimeofday"}} {
		if slices.Contains(bounding, r.capability) && !allowed[r.call] && n.member("defaultAction").text() != "SCMP_ACT_ALLOW" {
			c.warn(keys("linux/seccomp"), "compute it again: --security-opt seccomp=default", "%s is in the bounding set, but %s is not allowed: the rules were made for other capabilities", r.capability, r.call)
		}
	}
}

func (c *checker) ruleDevices() {
	seen := make(map[string]bool)
	for i, d := range c.doc.get("linux", "devices").each() {
		p := d.member("path").text()
		at := keys(fmt.Sprintf("linux/devices/%d/path", i))
		switch {
		case !path.IsAbs(p):
			c.fail(at, "", "%q is not absolute", p)
		case seen[p]:
			c.fail(at, "", "%s is there twice", p)
		}
		seen[p] = true
	}
	if len(seen) > 0 && c.doc.hasNamespace("user") {
		c.warn(keys("linux/devices"), "use bind mounts", "below a user namespace no device can be made: runtimes bind them instead, or fail")
	}
}

func (c *checker) ruleAnnotations() {
	annotations := c.doc.get("annotations")
	if annotations == nil {
		return
	}
	for _, m := range annotations.members {
		switch {
		case m.key == "":
			c.fail([]string{"annotations", ""}, "", "the key is empty")
		case Steers(m.key, nil):
			c.warn([]string{"annotations", m.key}, "take it out unless it is meant", "steers a runtime")
		}
	}
}

// ruleNumbers notices what jq before 1.7 does to RLIM_INFINITY.
func (c *checker) ruleNumbers() {
	c.doc.root.walk(func(path []string, n *node, _ *Origin) {
		if n.kind == kindNumber && (strings.HasPrefix(n.literal, "184467440737095520") || strings.HasPrefix(n.literal, "9223372036854776")) {
			c.fail(slices.Clone(path), "write 18446744073709551615", "%s was 2^64-1 or 2^63-1, and jq has rounded it", n.literal)
		}
	})
}
