package spec

import (
	"slices"
	"strconv"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// platform refuses an image that cannot run here.
func (b *builder) platform() error {
	img := b.in.Image
	b.Ignored = append(b.Ignored, img.Ignored...)
	if img.OS != "" && img.OS != "linux" {
		return fault.Refused("the image is for %s, and a config.json of this tool for linux", img.OS)
	}
	if img.Architecture != "" && !b.host.CanRun(img.Architecture) {
		if !b.in.Force {
			return fault.Hint(fault.Refused("the image is for %s, this machine is %s", img.Architecture, b.host.Arch),
				"install qemu-user-static for binfmt_misc, or write the config.json all the same with --force")
		}
		b.warn("the image is for %s: the seccomp profile here is for %s; use --security-opt seccomp=FILE there", img.Architecture, b.host.Arch)
	}
	return nil
}

// skeleton writes the members that every config.json has.
func (b *builder) skeleton() error {
	needed := &Origin{Source: "spec", Why: "required (runtime-spec config.md)"}
	b.doc.set(needed, newString(minVersion), "ociVersion")
	b.doc.set(b.byDefault("no terminal unless asked for: a pipe must work (umoci issue 560)"), newBool(false), "process", "terminal")
	b.doc.set(&Origin{Source: "bundle", Why: "the rootfs, relative to the bundle where it lies in it"}, newString(b.in.Root), "root", "path")
	return nil
}

// defaults writes the profile.
func (b *builder) defaults() error {
	p := b.profile
	if p.Name != "minimal" {
		allowed := p.Capabilities
		if b.host.Bounding != nil {
			allowed = intersect(p.Capabilities, b.host.Bounding)
		}
		if len(allowed) < len(p.Capabilities) {
			b.warn("the caller lacks %s: left out of the default capabilities",
				strings.Join(slices.DeleteFunc(slices.Clone(p.Capabilities), func(c string) bool { return slices.Contains(allowed, c) }), " "))
		}
		b.doc.set(b.byDefault("the most that a process may ever gain; inheritable stays empty (CVE-2022-24769)"), newStrings(allowed), "process", "capabilities", "bounding")
	}
	if p.NoFile > 0 {
		b.doc.set(b.byDefault("as runc spec has it"), newArray(newLimit("RLIMIT_NOFILE", Limit{p.NoFile, p.NoFile})), "process", "rlimits")
	}
	if p.NoNewPrivileges {
		b.doc.set(b.byDefault("setuid programs gain nothing"), newBool(true), "process", "noNewPrivileges")
	}
	if p.ReadOnly {
		b.doc.set(b.byDefault("the image stays as it is"), newBool(true), "root", "readonly")
	}
	if p.Hostname != "" {
		b.doc.set(b.byDefault("as runc spec has it"), newString(p.Hostname), "hostname")
	}
	for _, m := range p.baseMounts(b.host) {
		b.addMount(b.byDefault("the file systems of runtime-spec config-linux.md, parents first"), m)
	}
	if p.Scratch && isOn(b.opt.ReadOnly) && isOn(b.opt.ReadOnlyTmpfs) {
		b.scratch(b.byDefault("a place to write below a read-only root"))
	}
	b.defaultLinux()
	return nil
}

func (b *builder) defaultLinux() {
	p := b.profile
	if p.Devices {
		b.doc.set(b.byDefault("deny all devices; the runtime then allows its own list"),
			newArray(newObject(pair("allow", newBool(false)), pair("access", newString("rwm")))), "linux", "resources", "devices")
	}
	if p.Pids > 0 {
		b.doc.set(b.byDefault("a fork bomb ends in the container"), newInt(p.Pids), "linux", "resources", "pids", "limit")
	}
	spaces := newArray()
	for _, name := range p.namespaces(b.host) {
		n := newObject(pair("type", newString(name)))
		n.from = b.byDefault("a namespace of its own")
		if name == "cgroup" {
			n.from = &Origin{Source: "host:cgroup2", Why: "hides the host's cgroup tree, where there is cgroup v2"}
		}
		spaces.items = append(spaces.items, n)
	}
	b.doc.set(b.byDefault(""), spaces, "linux", "namespaces")
	if len(p.MaskedPaths) > 0 {
		masked := p.MaskedPaths
		if p.ThermalThrottle {
			masked = append(slices.Clone(masked), b.host.ThermalThrottle...)
		}
		b.doc.set(b.byDefault("kernel interfaces that leak facts of the host"), newStrings(masked), "linux", "maskedPaths")
	}
	if len(p.ReadonlyPaths) > 0 {
		b.doc.set(b.byDefault("kernel interfaces that change the host"), newStrings(p.ReadonlyPaths), "linux", "readonlyPaths")
	}
}

// steering are beginnings of annotation keys that make a runtime, or what
// stands above it, do something: replace the seccomp filter, write files of
// the host, choose a hypervisor. A label of a stranger must not.
var steering = []string{
	"run.oci.", "org.systemd.property.", "org.criu.", "io.katacontainers.", "org.opencontainers.runc.", "dev.gvisor.",
	"io.kubernetes.", "io.containerd.", "io.podman.annotations.", "io.crun.", "module.wasm.image/", "krun.", "io.microsoft.",
	"com.nvidia.", "com.github.containers.", "container.apparmor.security.", "security.alpha.kubernetes.io/", "nerdctl/", "org.freedesktop.systemd",
}

// steeringDomains are the ends of the domain part of such keys.
var steeringDomains = []string{"cdi.k8s.io", "nri.io", "nri.containerd.io"}

// Steers reports whether an annotation of the key can steer a runtime. Unsafe
// are further keys or beginnings (with a "*" at their end), such as those that
// the features document of a runtime lists.
func Steers(key string, unsafe []string) bool {
	for _, prefix := range steering {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	domain, _, _ := strings.Cut(key, "/")
	for _, end := range steeringDomains {
		if domain == end || strings.HasSuffix(domain, "."+end) {
			return true
		}
	}
	return slices.ContainsFunc(unsafe, func(u string) bool {
		prefix, wild := strings.CutSuffix(u, "*")
		return key == u || wild && strings.HasPrefix(key, prefix) || strings.HasSuffix(u, ".") && strings.HasPrefix(key, u)
	})
}

// imageAnnotations copies what conversion.md names. A label of the same key
// wins over the member of the image config.
func (b *builder) imageAnnotations() error {
	img := b.in.Image
	const why = "annotation field (image-spec conversion.md)"
	ports := slices.Sorted(slices.Values(img.ExposedPorts))
	for _, a := range []struct{ member, key, value string }{
		{"os", "os", img.OS},
		{"architecture", "architecture", img.Architecture},
		{"variant", "variant", img.Variant},
		{"os.version", "os.version", img.OSVersion},
		{"os.features", "os.features", strings.Join(img.OSFeatures, ",")},
		{"author", "author", img.Author},
		{"created", "created", img.Created},
		{"config.StopSignal", "stopSignal", img.StopSignal},
		{"config.ExposedPorts", "exposedPorts", strings.Join(ports, ",")},
	} {
		switch {
		case a.value == "":
		case a.key == "stopSignal" && !isSignal(a.value):
			b.ignore(pointer("config", "StopSignal"), "no signal has this name")
			b.warn("the image's stop signal %q is no signal: left out", a.value)
		default:
			b.doc.set(fromImage(a.member, why), newString(a.value), "annotations", "org.opencontainers.image."+a.key)
		}
	}
	for _, l := range img.Labels {
		switch {
		case l.Key == "":
			b.ignore(pointer("config", "Labels", ""), "an annotation needs a key (runtime-spec config.md)")
		case Steers(l.Key, nil) && !slices.Contains(b.opt.AllowAnnotations, l.Key):
			b.ignore(pointer("config", "Labels", l.Key), "steers a runtime; copy it with --allow-annotation "+l.Key)
		default:
			b.doc.set(fromImage("config.Labels", "labels become annotations (image-spec conversion.md)"), newString(l.Value), "annotations", l.Key)
		}
	}
	return nil
}

// isSignal accepts the forms that signal(7) and the engines know: a number, a
// name with or without SIG, SIGRTMIN+n and SIGRTMAX-n.
func isSignal(s string) bool {
	const greatest, realtime = 64, 30
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	from, to := 1, greatest
	for _, prefix := range []string{"RTMIN+", "RTMAX-"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			name, from, to = rest, 0, realtime
		}
	}
	if n, err := strconv.ParseUint(name, 10, 8); err == nil {
		return from <= int(n) && int(n) <= to
	}
	return to == greatest && slices.Contains(signals, name)
}

var signals = []string{
	"HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "IOT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CLD",
	"CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "POLL", "PWR", "SYS", "RTMIN", "RTMAX",
}
