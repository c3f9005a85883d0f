package spec

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// user writes process.user from the flag or the image.
func (b *builder) user() error {
	spec, from := "", &Origin{Source: "spec", Why: "the image names no user: root"}
	asked, by := b.askedUser()
	switch {
	case by != nil:
		spec, from = asked, by
	case b.profile == nil:
		return nil
	case b.in.Image.User != "":
		spec, from = b.in.Image.User, fromImage("config.User", "digits stay, names are looked up in the rootfs (image-spec conversion.md)")
	}
	mode := b.opt.UserGroups
	switch mode {
	case "":
		mode = GroupsSpec
	case GroupsSpec, GroupsDocker:
	default:
		return fault.Usage("--user-groups %q is neither spec nor docker", mode)
	}
	id, err := LookupUser(b.in.Rootfs, spec, mode)
	if err != nil {
		return err
	}
	b.doc.set(from, newUint(uint64(id.UID)), "process", "user", "uid")
	b.doc.set(from, newUint(uint64(id.GID)), "process", "user", "gid")
	b.doc.set(derived("user", "the primary group is one of them, else files it may not read become readable (CVE-2022-2989)"),
		newUints(id.Groups), "process", "user", "additionalGids")
	return nil
}

// askedUser is the user that a flag asks for; the origin is nil without one.
func (b *builder) askedUser() (string, *Origin) {
	switch {
	case b.opt.User != nil:
		return *b.opt.User, byFlag("--user", "")
	case b.opt.Userns == "keep-id":
		uid, gid := b.caller()
		return fmt.Sprintf("%d:%d", uid, gid), byFlag("--userns", keepIDWhy)
	default:
		return "", nil
	}
}

// keepGroups is the annotation by which crun keeps the caller's groups.
const keepGroups = "run.oci.keep_original_groups"

// groups adds the groups of --group-add, and writes the umask.
func (b *builder) groups() error {
	for _, group := range b.opt.GroupAdd {
		from := byFlag("--group-add", group)
		if group == "keep-groups" {
			b.doc.set(from, newString("1"), "annotations", keepGroups)
			b.doc.remove("process", "user", "additionalGids")
			b.warn("--group-add keep-groups works with crun only")
			continue
		}
		gid, err := LookupGroup(b.in.Rootfs, group)
		if err != nil {
			return err
		}
		b.addGroup(from, newUint(uint64(gid)))
	}
	if b.opt.Umask != "" {
		mask, err := strconv.ParseUint(b.opt.Umask, 8, 32)
		if err != nil || mask > 0o777 {
			return fault.Usage("--umask %q is not an octal number up to 0777", b.opt.Umask)
		}
		b.doc.set(byFlag("--umask", b.opt.Umask), newUint(mask), "process", "user", "umask")
	}
	return nil
}

// addGroup appends the group, unless it is there.
func (b *builder) addGroup(from *Origin, gid *node) {
	gid.from = from
	list := b.doc.list(from, "process", "user", "additionalGids")
	if !slices.ContainsFunc(list.items, gid.equal) {
		list.items = append(list.items, gid)
	}
}

// privileged lifts the confinement as podman and docker do. The capabilities
// are those of the caller: a runtime fails with any that the caller lacks.
func (b *builder) privileged() error {
	if !b.opt.Privileged {
		return nil
	}
	from := byFlag("--privileged", "")
	b.doc.set(byFlag("--privileged", "all that the caller itself may have"), newStrings(b.allCapabilities()), "process", "capabilities", "bounding")
	b.doc.remove("linux", "seccomp")
	b.doc.remove("linux", "maskedPaths")
	b.doc.remove("linux", "readonlyPaths")
	b.doc.remove("process", "apparmorProfile")
	if b.belowUserNamespace() {
		b.dropDeviceRules()
	} else {
		b.doc.set(from, newArray(newObject(pair("allow", newBool(true)), pair("access", newString("rwm")))), "linux", "resources", "devices")
	}
	for _, m := range b.doc.get("mounts").each() {
		if kind := m.member("type").text(); kind == "sysfs" || kind == "cgroup" {
			setOption(from, m, "rw", "ro")
		}
	}
	return b.hostDevices(from)
}

func (b *builder) allCapabilities() []string {
	if b.host.Bounding == nil {
		return slices.Sorted(slices.Values(capabilities))
	}
	return slices.Sorted(slices.Values(b.host.Bounding))
}

// capabilities fills the five sets. For root the effective and permitted sets
// equal the bounding one. Another user has none but those of --cap-add, which
// then stand in all five: without ambient and inheritable the kernel clears
// them at the change of the user. Root never gets ambient ones, nor anybody
// inheritable ones unasked (CVE-2022-24769 and its siblings).
func (b *builder) capabilities() error {
	opt := b.opt
	bounding := b.doc.strings("process", "capabilities", "bounding")
	touched := len(opt.CapAdd)+len(opt.CapDrop) > 0
	var added []string
	if touched {
		var err error
		if bounding, added, err = adjust(bounding, b.allCapabilities(), splitNames(opt.CapAdd), splitNames(opt.CapDrop)); err != nil {
			return err
		}
		for _, c := range added {
			if b.host.Bounding != nil && !slices.Contains(b.host.Bounding, c) {
				b.warn("--cap-add %s: the caller's own bounding set lacks it, a runtime started from here will fail", c)
			}
		}
		b.doc.set(byFlag(strings.TrimPrefix(joinFlags(opt), " "), ""), newStrings(bounding), "process", "capabilities", "bounding")
	}
	_, user := b.askedUser()
	if b.doc.get("process", "capabilities") == nil || b.profile == nil && !touched && !opt.Privileged && user == nil {
		return nil
	}
	root := false
	if uid, ok := b.doc.get("process", "user", "uid").uint(); !ok || uid == 0 {
		root = true
	}
	filled := root || b.profile != nil && b.profile.EffectiveForUsers
	sets := map[string][]string{"effective": nil, "permitted": nil, "inheritable": nil, "ambient": nil}
	switch {
	case filled:
		sets["effective"], sets["permitted"] = bounding, bounding
	case !touched && b.profile == nil:
		// Another user by a filter: what it was given explicitly stays.
		ambient := b.doc.strings("process", "capabilities", "ambient")
		for name := range sets {
			sets[name] = ambient
		}
	default:
		keep := intersect(b.doc.strings("process", "capabilities", "ambient"), bounding)
		for name := range sets {
			sets[name] = slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(keep), added...))))
		}
	}
	if root {
		sets["inheritable"] = intersect(b.doc.strings("process", "capabilities", "inheritable"), bounding)
		sets["ambient"] = nil
	}
	for _, name := range []string{"effective", "permitted", "inheritable", "ambient"} {
		if len(sets[name]) == 0 {
			b.doc.remove("process", "capabilities", name)
			continue
		}
		b.doc.set(derived("user", "root has them at once, another user only those asked for, through ambient"), newStrings(sets[name]), "process", "capabilities", name)
	}
	return nil
}

func joinFlags(opt *Options) string {
	var s string
	if len(opt.CapDrop) > 0 {
		s += " --cap-drop"
	}
	if len(opt.CapAdd) > 0 {
		s += " --cap-add"
	}
	return s
}
