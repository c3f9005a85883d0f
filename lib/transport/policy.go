package transport

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"go.podman.io/image/v5/signature"
	"go.podman.io/image/v5/types"
	"go.podman.io/storage/pkg/configfile"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// loadPolicy reads the signature policy. Only where there is no policy file at
// all does the default hold, which accepts everything and is said aloud; a
// malformed or unreadable one is an error, so that a typing mistake cannot
// switch verification off.
//
// It reports whether there is one.
func loadPolicy(o *Options) (_ *signature.Policy, policed bool, _ error) {
	acceptAll := &signature.Policy{Default: signature.PolicyRequirements{signature.NewPRInsecureAcceptAnything()}}
	if o.InsecurePolicy {
		return acceptAll, false, nil
	}
	policy, err := signature.DefaultPolicy(&types.SystemContext{SignaturePolicyPath: o.Policy})
	switch {
	case err == nil:
		return policy, true, nil
	case o.Policy != "" && errors.Is(err, fs.ErrNotExist):
		return nil, true, fault.As(fault.ErrNotFound, fmt.Errorf("signature policy: %w", err))
	case o.Policy == "" && errors.Is(err, configfile.ErrConfigFileNotFound):
		if !o.RequireSigned {
			o.note("there is no signature policy file (policy.json): images are accepted without a signature")
		}
		return acceptAll, false, nil
	default:
		return nil, true, fault.Hint(fmt.Errorf("signature policy: %w", err),
			"mend the file, name another with --policy FILE, or accept everything with --insecure-policy")
	}
}

// policyContext evaluates the policy for one copy. The library's contexts
// must not be used from two goroutines at once.
func (c *Copier) policyContext() (*signature.PolicyContext, error) {
	pc, err := signature.NewPolicyContext(c.policy)
	if err != nil {
		return nil, fmt.Errorf("signature policy: %w", err)
	}
	pc.RequireSignatureVerification(c.options.RequireSigned)
	return pc, nil
}

// allowed asks the policy about one image before anything below its manifest
// is read.
func (c *Copier) allowed(ctx context.Context, img types.UnparsedImage) error {
	pc, err := c.policyContext()
	if err != nil {
		return err
	}
	ok, err := pc.IsRunningImageAllowed(ctx, img)
	if ok && err == nil {
		return pc.Destroy()
	}
	return rejected(err)
}

// rejected words the refusal of the policy. That a key or a network was not
// there is a failure of another kind.
func rejected(err error) error {
	if fault.Kind(err) != nil || temporary(err) || errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("check the signature policy: %w", err)
	}
	return fault.As(fault.ErrRefused, fmt.Errorf("the signature policy does not allow this image: %w", err))
}
