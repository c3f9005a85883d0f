package spec

import (
	"fmt"
	"slices"
	"strings"
)

// features compares the document with what the runtime says that it can do.
// A list that is null is unknown, one that is empty means none.
func (c *checker) features() error {
	if c.opt.Features == nil {
		return nil
	}
	f, err := parseJSON(c.opt.Features)
	if err != nil {
		return fmt.Errorf("features of the runtime: %w", err)
	}
	c.featureVersion(f)
	if hooks := c.doc.get("hooks"); hooks != nil {
		for _, stage := range hooks.members {
			c.inList(f.member("hooks"), stage.key, []string{"hooks", stage.key}, "the runtime has no such hook")
		}
	}
	linux := f.member("linux")
	for i, n := range c.doc.get("linux", "namespaces").each() {
		c.inList(linux.member("namespaces"), n.member("type").text(), keys(fmt.Sprintf("linux/namespaces/%d/type", i)), "the runtime has no such namespace")
	}
	for _, set := range []string{"bounding", "effective", "permitted", "inheritable", "ambient"} {
		for i, name := range c.doc.strings("process", "capabilities", set) {
			c.inList(linux.member("capabilities"), name, keys(fmt.Sprintf("process/capabilities/%s/%d", set, i)), "the runtime does not know it, and passes over it")
		}
	}
	c.featureSeccomp(linux.member("seccomp"))
	c.featureMounts(f)
	for _, r := range []struct {
		path    []string
		feature string
	}{
		{keys("linux/intelRdt"), "intelRdt"},
		{keys("process/apparmorProfile"), "apparmor"},
		{keys("process/selinuxLabel"), "selinux"},
		{keys("linux/netDevices"), "netDevices"},
		{keys("linux/memoryPolicy"), "memoryPolicy"},
	} {
		enabled := linux.member(r.feature).member("enabled")
		if c.doc.get(r.path...) != nil && enabled != nil && !enabled.isTrue() {
			c.fail(r.path, "", "the runtime was built without %s", r.feature)
		}
	}
	if annotations := c.doc.get("annotations"); annotations != nil {
		for _, m := range annotations.members {
			if unsafe := f.member("potentiallyUnsafeConfigAnnotations").texts(); len(unsafe) > 0 && Steers(m.key, unsafe) && !Steers(m.key, nil) {
				c.warn([]string{"annotations", m.key}, "take it out unless it is meant", "the runtime lists it as potentially unsafe")
			}
		}
	}
	return nil
}

func (c *checker) inList(list *node, value string, at []string, message string) {
	if list != nil && list.kind == kindArray && !slices.Contains(list.texts(), value) {
		c.warn(at, "", "%s: %s", value, message)
	}
}

func (c *checker) featureVersion(f *node) {
	version, least, most := c.doc.text("ociVersion"), f.member("ociVersionMin").text(), f.member("ociVersionMax").text()
	release, _, _ := strings.Cut(most, "-")
	if most != "" && compareVersions(version, release) > 0 {
		c.warn(keys("ociVersion"), "", "the runtime knows versions up to %s", most)
	}
	if least != "" && compareVersions(version+"-dev", least) < 0 && compareVersions(version, least) < 0 {
		c.warn(keys("ociVersion"), "", "the runtime knows versions from %s on", least)
	}
}

func (c *checker) featureSeccomp(f *node) {
	n := c.doc.get("linux", "seccomp")
	if n == nil || f == nil {
		return
	}
	if enabled := f.member("enabled"); enabled != nil && !enabled.isTrue() {
		c.fail(keys("linux/seccomp"), "use another runtime, or --security-opt seccomp=unconfined", "the runtime was built without seccomp")
		return
	}
	c.inList(f.member("actions"), n.member("defaultAction").text(), keys("linux/seccomp/defaultAction"), "the runtime has no such action")
	for i, arch := range n.member("architectures").texts() {
		c.inList(f.member("archs"), arch, keys(fmt.Sprintf("linux/seccomp/architectures/%d", i)), "the runtime has no such architecture")
	}
	for i, rule := range n.member("syscalls").each() {
		c.inList(f.member("actions"), rule.member("action").text(), keys(fmt.Sprintf("linux/seccomp/syscalls/%d/action", i)), "the runtime has no such action")
		for j, arg := range rule.member("args").each() {
			c.inList(f.member("operators"), arg.member("op").text(), keys(fmt.Sprintf("linux/seccomp/syscalls/%d/args/%d/op", i, j)), "the runtime has no such operator")
		}
	}
	for i, name := range n.member("flags").texts() {
		c.inList(f.member("knownFlags"), name, keys(fmt.Sprintf("linux/seccomp/flags/%d", i)), "the runtime has no such flag")
	}
}

// ownOptions are mount options that a runtime must know itself: the kernel
// takes any other word as data of the file system (runc issue 3274).
var ownOptions = []string{"tmpcopyup", "rro", "rrw", "rnosuid", "rnodev", "rnoexec", "rnoatime", "idmap", "ridmap", "nosymfollow"}

func (c *checker) featureMounts(f *node) {
	for i, m := range c.doc.get("mounts").each() {
		for j, o := range m.member("options").texts() {
			if slices.Contains(ownOptions, o) {
				c.inList(f.member("mountOptions"), o, keys(fmt.Sprintf("mounts/%d/options/%d", i, j)), "the runtime has no such option")
			}
		}
		enabled := f.member("linux").member("mountExtensions").member("idmap").member("enabled")
		if m.member("uidMappings") != nil && enabled != nil && !enabled.isTrue() {
			c.fail(keys(fmt.Sprintf("mounts/%d/uidMappings", i)), "", "the runtime has no id-mapped mounts")
		}
	}
}
