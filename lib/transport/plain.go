package transport

import (
	"fmt"
	"reflect"
	"slices"

	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/pkg/docker/config"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/signature"
	"go.podman.io/image/v5/types"

	"github.com/oci-plumbing/oci-plumbing/lib/layout"
)

// Policed reports whether a signature policy decides, as none does where there
// is no policy file.
func (c *Copier) Policed() bool { return c.policed }

// Plain checks a copy as far as that can be done without making or asking
// anything, and reports whether it is one of bytes alone: the policy accepts
// the source unseen, no signatures are looked for, and the references
// themselves tell how to reach both ends, which need neither an account nor a
// certificate.
func (c *Copier) Plain(src, dst string) (bool, error) {
	from, err := c.planned(src, source)
	if err != nil {
		return false, err
	}
	to, err := c.planned(dst, destination)
	if err != nil {
		return false, err
	}
	if err := c.options.suits(to); err != nil {
		return false, err
	}
	if from.ref == nil || !acceptAnything(requirementsFor(c.policy, from.ref)) {
		return false, nil
	}
	plain, err := c.direct(from, source)
	if err != nil || !plain {
		return false, err
	}
	return c.direct(to, destination)
}

// planned is parse for what is not opened, and maybe not there, yet. The store
// of containers-storage, which it takes to read such a reference, would be made
// by opening it.
func (c *Copier) planned(s string, end side) (*target, error) {
	transport, name := cutTransport(s)
	switch {
	case transport == "containers-storage":
		return &target{transport: transport, name: name}, nil
	case transport != "oci" || end == source:
		return c.parse(s, end)
	}
	ref, err := layout.ParseReference(s)
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", end, s, err)
	}
	return &target{transport: transport, name: name, layout: ref}, withoutDigest(ref)
}

// acceptAnything reports whether the requirements accept every image.
func acceptAnything(requirements signature.PolicyRequirements) bool {
	accept := signature.NewPRInsecureAcceptAnything()
	return !slices.ContainsFunc(requirements, func(r signature.PolicyRequirement) bool { return !reflect.DeepEqual(r, accept) })
}

// direct reports whether an end is reached by its reference alone.
func (c *Copier) direct(t *target, end side) (bool, error) {
	r, ok := t.ref.(*registryRef)
	if !ok {
		return true, nil
	}
	endpoint := c.options.Source
	if end == destination {
		endpoint = c.options.Destination
	}
	sys, err := c.options.system(endpoint)
	if err != nil {
		return false, err
	}
	if found, err := sysregistriesv2.FindRegistry(sys, r.named.Name()); err != nil || found != nil {
		return false, wrapped("registries.conf", err)
	}
	if auth, err := config.GetCredentialsForRef(sys, r.named); err != nil || auth != (types.DockerAuthConfig{}) {
		return false, wrapped("credentials for "+r.named.Name(), err)
	}
	if dir, err := certDir(sys, reference.Domain(r.named)); err != nil || dir != "" {
		return false, err
	}
	return end == destination || !c.wantsSignatures(r.ImageReference, sys), nil
}

// wrapped says what err is about; nil stays nil.
func wrapped(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
