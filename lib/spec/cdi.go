package spec

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// isCDI reports whether a device is named VENDOR/CLASS=NAME, as the container
// device interface has it.
func isCDI(d string) bool {
	kind, name, ok := strings.Cut(d, "=")
	return ok && !path.IsAbs(d) && name != "" && strings.Count(kind, "/") == 1
}

// cdiDevice applies what the specification file of the device on the host
// asks for. It comes as a document of its own, whose parts are put into this
// one like those of flags: the library behind it would lose the members that
// it does not know.
func (b *builder) cdiDevice(d string) error {
	if b.opt.CDI == nil {
		return fault.Usage("--device %s: CDI devices are not resolved here", d)
	}
	edited, hostPaths, err := b.opt.CDI(d)
	if err != nil {
		return fmt.Errorf("--device %s: %w", d, err)
	}
	data, err := json.Marshal(edited)
	if err != nil {
		return fmt.Errorf("--device %s: %w", d, err)
	}
	change, err := parseJSON(data)
	if err != nil {
		return fmt.Errorf("--device %s: %w", d, err)
	}
	return b.mergeCDI(byFlag("--device", d), change, hostPaths)
}

func (b *builder) mergeCDI(from *Origin, change *node, hostPaths map[string]string) error {
	for _, n := range change.member("process").member("env").each() {
		b.opt.Env = append(b.opt.Env, n.text())
	}
	for _, m := range change.member("mounts").each() {
		b.setMount(from, m)
	}
	for _, device := range change.member("linux").member("devices").each() {
		p := device.member("path").text()
		if b.belowUserNamespace() {
			source := hostPaths[p]
			if source == "" {
				source = p
			}
			b.setMount(from, newMount(p, "bind", source, "rprivate", "nosuid", "noexec", "rw", "rbind"))
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
