package spec

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// finish writes what depends on all the rest.
func (b *builder) finish() error {
	if err := b.seccomp(); err != nil {
		return err
	}
	if b.profile != nil {
		b.sortMounts()
	}
	b.version()
	return nil
}

// sortMounts puts each mount behind those it lies in. The sort is stable, so
// that mounts which do not concern each other stay where they are.
func (b *builder) sortMounts() {
	mounts := b.doc.get("mounts")
	if mounts == nil {
		return
	}
	sorted := make([]*node, 0, len(mounts.items))
	for _, m := range mounts.items {
		at := len(sorted)
		for i, other := range sorted {
			if cleanDestination(other) != cleanDestination(m) && below(cleanDestination(other), cleanDestination(m)) {
				at = i
				break
			}
		}
		sorted = slices.Insert(sorted, at, m)
	}
	mounts.items = sorted
}

// minVersion is the least ociVersion written: what runc 1.1 and crun 1.8 know.
const minVersion = "1.0.2"

// newer lists what came after 1.0.2, by the version that brought it (ChangeLog
// of the runtime-spec).
var newer = []struct {
	version string
	// members are paths of keys.
	members []string
	present func(*Document) bool
}{
	{
		"1.1.0",
		[]string{
			"domainname", "process/scheduler", "process/ioPriority", "linux/timeOffsets", "linux/resources/cpu/idle", "linux/resources/cpu/burst",
			"linux/resources/memory/checkBeforeUpdate", "linux/seccomp/listenerPath", "linux/intelRdt/enableCMT", "linux/intelRdt/enableMBM",
		},
		func(d *Document) bool {
			return d.hasNamespace("time") ||
				slices.ContainsFunc(d.get("mounts").each(), func(m *node) bool { return m.member("uidMappings") != nil || m.member("gidMappings") != nil })
		},
	},
	{"1.2.0", nil, func(d *Document) bool { return d.hasMountOption("idmap") || d.hasMountOption("ridmap") }},
	{"1.2.1", []string{"process/execCPUAffinity"}, nil},
	{"1.3.0", []string{"linux/netDevices", "linux/memoryPolicy", "linux/intelRdt/schemata", "linux/intelRdt/enableMonitoring"}, nil},
}

// neededVersions are those that brought something that is in use, the newest
// last.
func (d *Document) neededVersions() []string {
	var list []string
	for _, n := range newer {
		used := func(member string) bool { return d.get(keys(member)...) != nil }
		if slices.ContainsFunc(n.members, used) || n.present != nil && n.present(d) {
			list = append(list, n.version)
		}
	}
	return list
}

func (d *Document) hasMountOption(option string) bool {
	return slices.ContainsFunc(d.get("mounts").each(), func(m *node) bool { return slices.Contains(m.member("options").texts(), option) })
}

// version writes the lowest ociVersion that covers the members in use: crun
// 1.8 refuses 1.2.0 and later. A filter raises it only.
func (b *builder) version() {
	need := minVersion
	if list := b.doc.neededVersions(); len(list) > 0 {
		need = list[len(list)-1]
	}
	old := b.doc.text("ociVersion")
	if b.profile == nil && (old == "" && b.doc.get("ociVersion") != nil || compareVersions(old, need) >= 0 || need == minVersion && old != "") {
		return
	}
	b.doc.set(derived("members", "the lowest version of the runtime-spec that has all of them"), newString(need), "ociVersion")
}

// compareVersions compares MAJOR.MINOR.PATCH; a suffix such as -dev makes a
// version less than the one without.
func compareVersions(a, b string) int {
	numbers := func(v string) (list [4]int) {
		main, suffix, _ := strings.Cut(v, "-")
		for i, part := range strings.SplitN(main, ".", 3) {
			list[i], _ = strconv.Atoi(part)
		}
		if suffix == "" {
			list[3] = 1
		}
		return list
	}
	x, y := numbers(a), numbers(b)
	return slices.Compare(x[:], y[:])
}

// annotations applies --annotation and --stop-signal.
func (b *builder) annotations() error {
	for _, a := range b.opt.Annotations {
		key, value, ok := strings.Cut(a, "=")
		if !ok || key == "" {
			return fault.Usage("--annotation %q is not KEY=VALUE", a)
		}
		b.doc.set(byFlag("--annotation", ""), newString(value), "annotations", key)
	}
	if s := b.opt.StopSignal; s != "" {
		if !isSignal(s) {
			return fault.Usage("--stop-signal %q is no signal", s)
		}
		b.doc.set(byFlag("--stop-signal", "oci-run reads it"), newString(s), "annotations", "org.opencontainers.image.stopSignal")
	}
	return nil
}

var hookStages = []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"}

// hooks applies --hook STAGE=PATH[,ARGUMENT...].
func (b *builder) hooks() error {
	for _, h := range b.opt.Hooks {
		stage, command, ok := strings.Cut(h, "=")
		words := strings.Split(command, ",")
		if !ok || !slices.Contains(hookStages, stage) || !path.IsAbs(words[0]) {
			return fault.Usage("--hook %q is not STAGE=/PATH[,ARGUMENT...], with a stage of %s", h, strings.Join(hookStages, " "))
		}
		b.addHook(byFlag("--hook", ""), stage, newObject(pair("path", newString(words[0])), pair("args", newStrings(words))))
	}
	return nil
}

// addHook appends the hook, unless it is there.
func (b *builder) addHook(from *Origin, stage string, hook *node) {
	hook.from = from
	list := b.doc.list(from, "hooks", stage)
	if !slices.ContainsFunc(list.items, hook.equal) {
		list.items = append(list.items, hook)
	}
}
