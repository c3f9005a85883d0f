package transport

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"

	"go.podman.io/image/v5/signature"
	"go.podman.io/image/v5/types"
)

// wantsSignatures reports whether signatures of a registry's image have to be
// read: because the policy asks for them, or because the registries.d
// configuration says where they are and they are to be copied.
func (c *Copier) wantsSignatures(ref types.ImageReference, sys *types.SystemContext) bool {
	if c.options.RequireSigned || needSignatures(requirementsFor(c.policy, ref)) {
		return true
	}
	return !c.options.RemoveSignatures && storesSignatures(sys)
}

// requirementsFor is the policy's part for a reference, found as the library
// finds it (containers-policy.json(5)).
func requirementsFor(policy *signature.Policy, ref types.ImageReference) signature.PolicyRequirements {
	scopes, ok := policy.Transports[ref.Transport().Name()]
	if !ok {
		return policy.Default
	}
	names := append([]string{ref.PolicyConfigurationIdentity()}, ref.PolicyConfigurationNamespaces()...)
	for _, name := range append(names, "") {
		if requirements, ok := scopes[name]; ok {
			return requirements
		}
	}
	return policy.Default
}

// needSignatures reports whether a requirement looks at signatures. Those that
// cannot be understood count as if they did.
func needSignatures(requirements signature.PolicyRequirements) bool {
	for _, r := range requirements {
		raw, err := json.Marshal(r)
		var kind struct {
			Type string `json:"type"`
		}
		if err != nil || json.Unmarshal(raw, &kind) != nil {
			return true
		}
		if kind.Type != "insecureAcceptAnything" && kind.Type != "reject" {
			return true
		}
	}
	return false
}

// signatureKeys are the members of registries.d files that say where
// signatures are read.
var signatureKeys = regexp.MustCompile(`(?m)^\s*(lookaside|sigstore|use-sigstore-attachments)\s*:`)

// storesSignatures reports whether any registries.d file names a place of
// signatures.
func storesSignatures(sys *types.SystemContext) bool {
	dirs := []string{sys.RegistriesDirPath}
	if sys.RegistriesDirPath == "" {
		dirs = []string{"/etc/containers/registries.d", "/usr/share/containers/registries.d"}
		if config, err := os.UserConfigDir(); err == nil {
			dirs = append(dirs, filepath.Join(config, "containers", "registries.d"))
		}
	}
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
		if err != nil {
			continue
		}
		for _, file := range files {
			if data, err := os.ReadFile(file); err != nil || signatureKeys.Match(data) {
				return true
			}
		}
	}
	return false
}
