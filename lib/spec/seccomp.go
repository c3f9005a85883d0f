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
	was, err := defaultSeccomp(b.boundingBefore)
	if err != nil {
		return err
	}
	if !old.equal(was) {
		b.warn("linux.seccomp is not the default one: it stays although the capabilities changed")
		return nil
	}
	return b.defaultSeccomp(derived("capabilities", "the bounding set changed, so do the rules of moby's profile"), bounding)
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

func (b *builder) defaultSeccomp(from *Origin, bounding []string) error {
	n, err := defaultSeccomp(bounding)
	if err != nil {
		return err
	}
	b.doc.set(from, n, "linux", "seccomp")
	return nil
}

func defaultSeccomp(bounding []string) (*node, error) {
	profile, err := seccomp.GetDefaultProfile(withCapabilities(bounding))
	if err != nil {
		return nil, fmt.Errorf("make the default seccomp profile: %w", err)
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
