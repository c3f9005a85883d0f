package spec

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"tags.cncf.io/container-device-interface/pkg/cdi"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// isCDI reports whether a device is named VENDOR/CLASS=NAME, as the container
// device interface has it.
func isCDI(d string) bool {
	kind, name, ok := strings.Cut(d, "=")
	return ok && !path.IsAbs(d) && name != "" && strings.Count(kind, "/") == 1
}

// cdiDevice applies what the specification file of the device on the host
// asks for. The library edits an empty document, whose parts are then put into
// this one like those of flags: it would lose the members that it does not
// know.
func (b *builder) cdiDevice(d string) error {
	dirs := b.opt.CDIDirs
	if len(dirs) == 0 {
		dirs = cdi.DefaultSpecDirs
	}
	cache, err := cdi.NewCache(cdi.WithAutoRefresh(false), cdi.WithSpecDirs(dirs...))
	if err != nil {
		return fmt.Errorf("--device %s: read the CDI specifications: %w", d, err)
	}
	edited := &specs.Spec{Process: &specs.Process{}, Linux: &specs.Linux{Resources: &specs.LinuxResources{}}}
	if _, err := cache.InjectDevices(edited, d); err != nil {
		return fault.Hint(fault.NotFound("--device %s: %w", d, err), "the vendor's tool writes the specification of its devices to %s", strings.Join(dirs, " or "))
	}
	data, err := json.Marshal(edited)
	if err != nil {
		return fmt.Errorf("--device %s: %w", d, err)
	}
	change, err := parseJSON(data)
	if err != nil {
		return fmt.Errorf("--device %s: %w", d, err)
	}
	return b.mergeCDI(byFlag("--device", d), change)
}

func (b *builder) mergeCDI(from *Origin, change *node) error {
	for _, n := range change.member("process").member("env").each() {
		b.opt.Env = append(b.opt.Env, n.text())
	}
	for _, m := range change.member("mounts").each() {
		b.setMount(from, m)
	}
	for _, device := range change.member("linux").member("devices").each() {
		p := device.member("path").text()
		if b.rootless || b.hasNamespace("user") || b.host.UserNamespace {
			b.setMount(from, newMount(p, "bind", p, "rprivate", "nosuid", "noexec", "rw", "rbind"))
			continue
		}
		if mode, ok := device.member("fileMode").uint(); ok {
			device.put("fileMode", newUint(mode&0o777))
		}
		b.setDevice(from, device)
	}
	for _, rule := range change.member("linux").member("resources").member("devices").each() {
		if !b.rootless {
			b.allowDevice(from, rule)
		}
	}
	if hooks := change.member("hooks"); hooks != nil {
		for _, stage := range hooks.members {
			for _, h := range stage.value.each() {
				b.addHook(from, stage.key, h)
			}
		}
	}
	for _, g := range change.member("process").member("user").member("additionalGids").each() {
		b.addGroup(from, g)
	}
	for _, key := range []string{"netDevices", "intelRdt"} {
		if n := change.member("linux").member(key); n != nil && !n.empty() {
			b.doc.set(from, mergePatch(b.doc.get("linux", key).clone(), n), "linux", key)
		}
	}
	return nil
}
