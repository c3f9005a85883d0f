package spec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// onHost compares the document with this machine and the caller on it.
func (c *checker) onHost() {
	for _, rule := range []func(){
		c.hostLimits, c.hostCapabilities, c.hostTerminal, c.hostPrivileges, c.hostMounts, c.hostModules, c.hostArch, c.hostRootfs,
	} {
		rule()
	}
}

func (c *checker) hostLimits() {
	if c.host.HasSysResource {
		return
	}
	for i, n := range c.doc.get("process", "rlimits").each() {
		name := n.member("type").text()
		hard, ok := n.member("hard").uint()
		if own, known := c.host.Limits[name]; ok && known && hard > own.Hard {
			c.fail(keys(fmt.Sprintf("process/rlimits/%d/hard", i)), "lower it to "+limitText(own.Hard),
				"%s exceeds the caller's own hard limit %s, and the caller lacks CAP_SYS_RESOURCE", limitText(hard), limitText(own.Hard))
		}
	}
}

func (c *checker) hostCapabilities() {
	if c.host.Bounding == nil || c.doc.hasNamespace("user") {
		return
	}
	for i, name := range c.doc.strings("process", "capabilities", "bounding") {
		if slices.Contains(capabilities, name) && !slices.Contains(c.host.Bounding, name) {
			c.fail(keys(fmt.Sprintf("process/capabilities/bounding/%d", i)), "drop it: --cap-drop "+strings.TrimPrefix(name, "CAP_"),
				"%s is not in the caller's own bounding set: runc fails with \"unable to apply caps\"", name)
		}
	}
}

func (c *checker) hostTerminal() {
	if !c.doc.Terminal() {
		return
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		c.warn(keys("process/terminal"), "oci-genspec -c config.json --tty=false, or run it from a terminal", "there is no terminal here")
		return
	}
	if err := tty.Close(); err != nil {
		c.warn(keys("process/terminal"), "", "close the terminal: %v", err)
	}
}

// hostPrivileges says what a caller without privileges cannot have.
func (c *checker) hostPrivileges() {
	const cure = "oci-genspec -c config.json --rootless takes it out"
	if c.host.EUID == 0 && !c.host.UserNamespace {
		return
	}
	if c.host.EUID != 0 && !c.doc.hasNamespace("user") {
		c.fail(keys("linux/namespaces"), "oci-genspec -c config.json --rootless", "uid %d needs a user namespace", c.host.EUID)
	}
	if r := c.doc.get("linux", "resources"); r != nil && !r.empty() && !isSystemdPath(c.doc.text("linux", "cgroupsPath")) {
		c.warn(keys("linux/resources"), cure, "without privileges limits need a cgroup that was delegated, or the user's systemd (--cgroup-parent user.slice)")
	}
	if len(c.doc.get("process", "user", "additionalGids").each()) > 0 && c.host.EUID != 0 {
		if gids := ranges(c.doc.get("linux", "gidMappings")); len(gids) == 1 && gids[0].Size == 1 {
			c.fail(keys("process/user/additionalGids"), cure, "a single mapped gid allows no further groups")
		} else {
			c.warn(keys("process/user/additionalGids"), cure, "runc sets no further groups without privileges")
		}
	}
	if c.host.EUID != 0 {
		c.hostMaps()
	}
}

// hostMaps compares the map of uids with what the caller may map.
func (c *checker) hostMaps() {
	var others IDRange
	if c.host.Subordinate != nil {
		others, _ = c.host.Subordinate()
	}
	uids := ranges(c.doc.get("linux", "uidMappings"))
	for i, r := range uids {
		if r.Size == 1 && r.Host != c.host.EUID && (r.Host < others.Host || r.Host-others.Host >= others.Size) {
			c.fail(keys(fmt.Sprintf("linux/uidMappings/%d/hostID", i)), "map the own uid, or ranges of /etc/subuid", "uid %d may not map %d", c.host.EUID, r.Host)
		}
	}
	if root, ok := toHost(uids, 0); ok && root != c.host.EUID {
		c.warn(keys("linux/uidMappings"), "run it by crun, or below oci-mount IMAGE --, where the caller is root",
			"root of the container is not the caller: without privileges runc fails with \"chown exec.fifo: operation not permitted\"")
	}
}

func (c *checker) hostMounts() {
	if c.host.UserNamespace && !c.doc.hasNamespace("user") {
		c.refusedMounts()
	}
	for i, m := range c.doc.get("mounts").each() {
		at := fmt.Sprintf("mounts/%d", i)
		options := m.member("options").texts()
		source := m.member("source").text()
		if slices.Contains(options, "bind") || slices.Contains(options, "rbind") {
			if !filepath.IsAbs(source) && c.opt.Bundle != "" {
				source = filepath.Join(c.opt.Bundle, source)
			}
			if _, err := os.Stat(source); errors.Is(err, fs.ErrNotExist) && filepath.IsAbs(source) {
				c.fail(keys(at+"/source"), "make it, or take the mount out", "%s does not exist", source)
			}
		}
		if m.member("type").text() == "mqueue" && !c.host.Mqueue {
			c.fail(keys(at), "take it out", "the kernel has no mqueue file system")
		}
	}
	for i, n := range c.doc.get("linux", "namespaces").each() {
		if p := n.member("path").text(); p != "" {
			if _, err := os.Stat(p); errors.Is(err, fs.ErrNotExist) {
				c.fail(keys(fmt.Sprintf("linux/namespaces/%d/path", i)), "", "%s does not exist", p)
			}
		}
	}
}

func (c *checker) hostModules() {
	if c.doc.text("process", "apparmorProfile") != "" && !c.host.AppArmor {
		c.fail(keys("process/apparmorProfile"), "take it out", "AppArmor is not active here")
	}
	if c.doc.text("process", "selinuxLabel") != "" && !c.host.SELinux {
		c.fail(keys("process/selinuxLabel"), "take it out", "SELinux is not active here")
	}
	if c.doc.get("linux", "resources", "unified") != nil && !c.host.CgroupV2 {
		c.fail(keys("linux/resources/unified"), "use the members for memory, cpu, …", "this host has cgroup v1")
	}
	if isSystemdPath(c.doc.text("linux", "cgroupsPath")) && !c.host.Systemd {
		c.fail(keys("linux/cgroupsPath"), "write a plain path", "systemd does not run here")
	}
	if hooks := c.doc.get("hooks"); hooks != nil {
		for _, stage := range hooks.members {
			for i, h := range stage.value.each() {
				if p := h.member("path").text(); path.IsAbs(p) && stage.key != "startContainer" && unix.Access(p, unix.X_OK) != nil {
					c.fail([]string{"hooks", stage.key, itoa(i), "path"}, "", "%s cannot be run here", p)
				}
			}
		}
	}
}

// seccompArch is the name of an architecture in linux.seccomp.
var seccompArch = map[string]string{
	"amd64": "SCMP_ARCH_X86_64", "386": "SCMP_ARCH_X86", "arm64": "SCMP_ARCH_AARCH64", "arm": "SCMP_ARCH_ARM", "ppc64le": "SCMP_ARCH_PPC64LE",
	"s390x": "SCMP_ARCH_S390X", "riscv64": "SCMP_ARCH_RISCV64", "loong64": "SCMP_ARCH_LOONGARCH64",
}

func (c *checker) hostArch() {
	archs := c.doc.strings("linux", "seccomp", "architectures")
	if own := seccompArch[c.host.Arch]; own != "" && len(archs) > 0 && !slices.Contains(archs, own) {
		c.fail(keys("linux/seccomp/architectures"), "compute it here: --security-opt seccomp=default", "the rules are for %s, this machine is %s", strings.Join(archs, ", "), own)
	}
	if arch := c.doc.Annotation("org.opencontainers.image.architecture"); arch != "" && !c.host.CanRun(arch) {
		c.fail([]string{"annotations", "org.opencontainers.image.architecture"}, "take an image for "+c.host.Arch+", or install qemu-user-static", "the image is for %s, this machine is %s", arch, c.host.Arch)
	}
}

// hostRootfs looks for the command and the working directory in the rootfs.
func (c *checker) hostRootfs() {
	root := c.doc.RootPath()
	if root == "" || !filepath.IsAbs(root) && c.opt.Bundle == "" {
		return
	}
	if !filepath.IsAbs(root) {
		root = filepath.Join(c.opt.Bundle, root)
	}
	rootfs, err := OpenRootfs(root)
	if err != nil {
		c.fail(keys("root/path"), "unpack the image there", "%v", err)
		return
	}
	defer rootfs.dir.Close()
	c.hostReach(root)
	if cwd := c.doc.text("process", "cwd"); path.IsAbs(cwd) && !c.mounted(cwd) {
		if _, err := rootfs.stat(cwd); errors.Is(err, fs.ErrNotExist) {
			if c.doc.get("root", "readonly").isTrue() {
				c.fail(keys("process/cwd"), "make it in the rootfs", "%s does not exist, and the root is read-only", cwd)
			} else {
				c.warn(keys("process/cwd"), "make it in the rootfs", "%s does not exist: the runtime makes it, as root's", cwd)
			}
		}
	}
	c.hostCommand(rootfs)
}

// hostReach looks whether root of the container may enter what leads to the
// rootfs: below a user namespace it has no power over files of owners that are
// not mapped there.
func (c *checker) hostReach(root string) {
	uids, gids := ranges(c.doc.get("linux", "uidMappings")), ranges(c.doc.get("linux", "gidMappings"))
	uid, okU := toHost(uids, 0)
	gid, okG := toHost(gids, 0)
	dir, err := filepath.Abs(root)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil || !okU || !okG || !c.doc.ownsNamespace("user") {
		return
	}
	closed := ""
	for ; ; dir = filepath.Dir(dir) {
		var st unix.Stat_t
		if unix.Stat(dir, &st) == nil && !mayEnter(dir, &st, uid, gid) {
			_, mappedUID := toContainer(uids, st.Uid)
			_, mappedGID := toContainer(gids, st.Gid)
			if !mappedUID || !mappedGID {
				closed = dir
			}
		}
		if dir == "/" {
			break
		}
	}
	if closed != "" {
		// Not chmod: set-user-ID files of the image are not for all users.
		c.fail(keys("root/path"), fmt.Sprintf("unpack the image with --uid-map and --gid-map of the same ids, or: setfacl -m u:%d:x %s", uid, closed),
			"root of the container is uid %d here, which may not enter %s: runc fails with \"error preparing rootfs: permission denied\"", uid, closed)
	}
}

// mayEnter looks for x in the mode. An access control list may say more than
// the mode.
func mayEnter(dir string, st *unix.Stat_t, uid, gid uint32) bool {
	if size, err := unix.Getxattr(dir, "system.posix_acl_access", nil); err == nil && size > 0 {
		return true
	}
	switch {
	case st.Uid == uid:
		return st.Mode&0o100 != 0
	case st.Gid == gid:
		return st.Mode&0o010 != 0
	default:
		return st.Mode&0o001 != 0
	}
}

func toHost(ranges []IDRange, id uint32) (uint32, bool) {
	for _, r := range ranges {
		if id >= r.Container && id-r.Container < r.Size {
			return r.Host + id - r.Container, true
		}
	}
	return 0, false
}

// mounted reports whether the path lies on a mount other than the rootfs.
func (c *checker) mounted(p string) bool {
	return slices.ContainsFunc(c.doc.get("mounts").each(), func(m *node) bool { return below(path.Clean(p), cleanDestination(m)) })
}

func (c *checker) hostCommand(rootfs *Rootfs) {
	args := c.doc.Args()
	if len(args) == 0 || args[0] == "" {
		return
	}
	candidates := []string{args[0]}
	if !strings.Contains(args[0], "/") {
		candidates = nil
		for _, e := range c.doc.strings("process", "env") {
			if list, ok := strings.CutPrefix(e, "PATH="); ok {
				candidates = nil
				for dir := range strings.SplitSeq(list, ":") {
					candidates = append(candidates, path.Join("/", dir, args[0]))
				}
			}
		}
	} else if !path.IsAbs(args[0]) {
		candidates = []string{path.Join("/", c.doc.text("process", "cwd"), args[0])}
	}
	var why string
	for _, candidate := range candidates {
		if c.mounted(candidate) {
			return
		}
		st, err := rootfs.stat(candidate)
		switch {
		case err != nil:
			continue
		case st.Mode&unix.S_IFMT == unix.S_IFDIR:
			why = candidate + " is a directory"
		case st.Mode&0o111 == 0:
			why = candidate + " is not executable"
		default:
			return
		}
	}
	if why == "" {
		why = fmt.Sprintf("%q is not in the rootfs", args[0])
	}
	if len(candidates) > 0 {
		c.fail(keys("process/args/0"), "mind the spelling and PATH", "%s", why)
	}
}
