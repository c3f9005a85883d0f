package spec

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// seccomp writes linux.seccomp, when the capabilities are final: moby's rules
// depend on the bounding set, the architecture and the kernel.
func (b *builder) seccomp() error {
	bounding := b.doc.strings("process", "capabilities", "bounding")
	switch option := b.seccompOption(); {
	case option == "unconfined":
		b.doc.remove("linux", "seccomp")
		return nil
	case option == "default":
		return b.defaultSeccomp(byFlag("--security-opt", "seccomp=default"), bounding)
	case option != "":
		return b.seccompFile(option, bounding)
	case b.opt.Privileged:
		return nil
	case b.profile != nil:
		if !b.profile.Seccomp {
			return nil
		}
		return b.defaultSeccomp(b.byDefault("moby's profile for these capabilities and this kernel"), bounding)
	}
	// A filter that changed the bounding set: the rules follow when they were
	// the default ones for the old set, and else stay as somebody wrote them.
	old := b.doc.get("linux", "seccomp")
	if old == nil || slices.Equal(sorted(bounding), sorted(b.boundingBefore)) {
		return nil
	}
	was, err := wasDefaultSeccomp(old, b.boundingBefore)
	if err != nil {
		return err
	}
	if !was {
		b.warn("linux.seccomp is not the default one: it stays although the capabilities changed")
		return nil
	}
	return b.defaultSeccomp(derived("capabilities", "the bounding set changed, so do the rules of moby's profile"), bounding)
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

func (b *builder) defaultSeccomp(from *Origin, bounding []string) error {
	n, err := defaultSeccomp(bounding, b.host.NoX32)
	if err != nil {
		return err
	}
	b.doc.set(from, n, "linux", "seccomp")
	return nil
}

// wasDefaultSeccomp reports whether the rules are the default ones, of this
// machine or of one that has the x32 ABI.
func wasDefaultSeccomp(old *node, bounding []string) (bool, error) {
	for _, noX32 := range []bool{true, false} {
		was, err := defaultSeccomp(bounding, noX32)
		if err != nil || old.equal(was) {
			return err == nil, err
		}
	}
	return false, nil
}

// defaultSeccomp is moby's profile. Like its rules for newer kernels, its
// architectures are those of this kernel: the third one is a third of the
// rules, and more than half of the time in which libseccomp turns them into a
// program, which grows with their square: a sixth of what runc needs to create
// a container. No x32 program can start where the ABI is missing. What makes
// such a call all the same is killed, as in a service of systemd with
// SystemCallArchitectures=native, and gets no ENOSYS.
func defaultSeccomp(bounding []string, noX32 bool) (*node, error) {
	profile, err := seccomp.GetDefaultProfile(withCapabilities(bounding))
	if err != nil {
		return nil, fmt.Errorf("make the default seccomp profile: %w", err)
	}
	if noX32 {
		profile.Architectures = slices.DeleteFunc(profile.Architectures, func(a specs.Arch) bool { return a == specs.ArchX32 })
	}
	return seccompNode(profile)
}

// withCapabilities is all that the profile library looks at.
func withCapabilities(bounding []string) *specs.Spec {
	return &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: bounding}}}
}

// seccompFile reads a profile in docker's form, whose conditions are resolved
// for these capabilities, or in the runtime-spec's, which is a part of it.
func (b *builder) seccompFile(name string, bounding []string) error {
	data, err := readBounded(name)
	if err != nil {
		return fmt.Errorf("--security-opt seccomp: %w", err)
	}
	if _, err := parseJSON(data); err != nil {
		return fmt.Errorf("--security-opt seccomp=%s: %w", name, err)
	}
	profile, err := seccomp.LoadProfile(string(data), withCapabilities(bounding))
	if err != nil {
		return fault.Refused("--security-opt seccomp=%s: %w", name, err)
	}
	if profile == nil {
		return fault.Refused("--security-opt seccomp=%s: the profile says nothing", name)
	}
	n, err := seccompNode(profile)
	if err != nil {
		return err
	}
	b.doc.set(byFlag("--security-opt", "seccomp="+name), n, "linux", "seccomp")
	return nil
}

func seccompNode(profile *specs.LinuxSeccomp) (*node, error) {
	data, err := json.Marshal(profile)
	if err != nil {
		return nil, fmt.Errorf("encode the seccomp profile: %w", err)
	}
	return parseJSON(data)
}
