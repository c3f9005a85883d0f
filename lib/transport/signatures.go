package transport

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.podman.io/image/v5/signature"
	"go.podman.io/image/v5/types"
	"go.podman.io/storage/pkg/configfile"
	"go.podman.io/storage/pkg/unshare"
	"go.yaml.in/yaml/v3"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
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

// registriesD is what containers-registries.d(5) says about signatures, in the
// names of that page. The library reads the same, and tells nobody.
type registriesD struct {
	Default signatureStore            `yaml:"default-docker"`
	Docker  map[string]signatureStore `yaml:"docker"`
}

// signatureStore is where the signatures of a registry, or a part of it, are.
type signatureStore struct {
	Lookaside   string `yaml:"lookaside"`
	Sigstore    string `yaml:"sigstore"`
	Attachments *bool  `yaml:"use-sigstore-attachments"`
}

// readRegistriesD reads and merges the files that the library reads.
func readRegistriesD(sys *types.SystemContext) (*registriesD, error) {
	merged := &registriesD{Docker: make(map[string]signatureStore)}
	for item, err := range configfile.Read(&configfile.File{
		Name: "registries", Extension: "yaml", DoNotLoadMainFiles: true, DoNotUseExtensionForConfigName: true,
		UserId: unshare.GetRootlessUID(), CustomConfigFileDropInDirectory: sys.RegistriesDirPath,
	}) {
		if err != nil {
			return nil, fmt.Errorf("registries.d: %w", err)
		}
		data, err := io.ReadAll(item.Reader)
		if err != nil {
			return nil, fmt.Errorf("registries.d: %w", err)
		}
		var file registriesD
		if err := yaml.Unmarshal(data, &file); err != nil {
			return nil, fmt.Errorf("registries.d: %s: %w", item.Name, err)
		}
		if file.Default != (signatureStore{}) {
			merged.Default = file.Default
		}
		maps.Copy(merged.Docker, file.Docker)
	}
	return merged, nil
}

// storesSignatures reports whether any registries.d file names a place of
// signatures. Where they cannot be read, the library is to say why.
func storesSignatures(sys *types.SystemContext) bool {
	config, err := readRegistriesD(sys)
	if err != nil {
		return true
	}
	for _, store := range append(slices.Collect(maps.Values(config.Docker)), config.Default) {
		if store != (signatureStore{}) {
			return true
		}
	}
	return false
}

// attachments reports whether signatures may be written beside the images of a
// repository: the most special entry that has an opinion decides.
func (d *registriesD) attachments(ref types.ImageReference) bool {
	for _, scope := range append([]string{ref.PolicyConfigurationIdentity()}, ref.PolicyConfigurationNamespaces()...) {
		if allowed := d.Docker[scope].Attachments; allowed != nil {
			return *allowed
		}
	}
	return d.Default.Attachments != nil && *d.Default.Attachments
}

// canSign fails where the library would push the image first, and then not be
// allowed to write its signature.
func (j *job) canSign(sys *types.SystemContext) error {
	r, ok := j.dst.ref.(*registryRef)
	o := &j.copier.options
	if !ok || !o.Sign.wanted() && (o.RemoveSignatures || !j.hasSigstore()) {
		return nil
	}
	config, err := readRegistriesD(sys)
	if err != nil || config.attachments(r.ImageReference) {
		return err
	}
	dir := sys.RegistriesDirPath
	if dir == "" {
		dir = "/etc/containers/registries.d"
	}
	return fault.Hint(fmt.Errorf("registries.d does not allow signatures to be written to %s", r.named.Name()),
		"allow it: echo 'docker: {%q: {use-sigstore-attachments: true}}' >%s", r.named.Name(), filepath.Join(dir, "signatures.yaml"))
}

// sigstoreMark begins the files of the transport dir that hold a sigstore
// signature, and not one of another kind.
const sigstoreMark = "\x00sigstore-json\n"

// hasSigstore reports whether the source is a directory with signatures of
// sigstore; of a registry's one learns only by reading them.
func (j *job) hasSigstore() bool {
	if j.src.transport != "dir" {
		return false
	}
	entries, err := os.ReadDir(j.src.name)
	return err == nil && slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		if !isSignature(e.Name()) {
			return false
		}
		data, err := readSmall(filepath.Join(j.src.name, e.Name()))
		return err == nil && strings.HasPrefix(string(data), sigstoreMark)
	})
}

// isSignature knows the names of signatures in a directory.
func isSignature(name string) bool { return strings.Contains(name, "signature-") }
