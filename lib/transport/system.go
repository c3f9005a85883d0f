package transport

import (
	"os"
	"strings"

	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/types"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// system builds the library's view of one side.
func (o *Options) system(e Endpoint) (*types.SystemContext, error) {
	sys := &types.SystemContext{
		AuthFilePath:                e.authFile(),
		DockerBearerRegistryToken:   e.Token,
		DockerCertPath:              e.CertDir,
		DockerDaemonCertPath:        e.CertDir,
		DockerDaemonHost:            e.daemonHost(),
		OCISharedBlobDirPath:        e.SharedBlobs,
		SignaturePolicyPath:         o.Policy,
		RegistriesDirPath:           o.RegistriesDir,
		BigFilesTemporaryDir:        o.tempDir(),
		DockerRegistryUserAgent:     o.UserAgent,
		DirForceCompress:            o.Compress,
		DirForceDecompress:          o.Decompress,
		OCIAcceptUncompressedLayers: o.KeepUncompressed,
		CompressionLevel:            o.CompressionLevel,
	}
	if e.TLSVerify != nil {
		sys.DockerInsecureSkipTLSVerify = types.NewOptionalBool(!*e.TLSVerify)
		sys.DockerDaemonInsecureSkipTLSVerify = !*e.TLSVerify
		sys.OCIInsecureSkipTLSVerify = !*e.TLSVerify
	}
	switch {
	case e.Anonymous:
		sys.DockerAuthConfig = &types.DockerAuthConfig{}
	case e.Credentials != "":
		user, password, _ := strings.Cut(e.Credentials, ":")
		sys.DockerAuthConfig = &types.DockerAuthConfig{Username: user, Password: password}
	}
	if len(o.Platforms) == 1 {
		p := o.Platforms[0]
		sys.OSChoice, sys.ArchitectureChoice, sys.VariantChoice = p.OS, p.Architecture, p.Variant
	}
	for _, tag := range o.AdditionalTags {
		named, err := reference.ParseNormalizedNamed(tag)
		if err != nil {
			return nil, fault.Usage("additional tag %q: %v", tag, err)
		}
		tagged, ok := reference.TagNameOnly(named).(reference.NamedTagged)
		if !ok {
			return nil, fault.Usage("additional tag %q is not NAME:TAG", tag)
		}
		sys.DockerArchiveAdditionalTags = append(sys.DockerArchiveAdditionalTags, tagged)
	}
	return sys, nil
}

// authFile maps REGISTRY_AUTH_FILE, which podman and skopeo read but the image
// library does not.
func (e Endpoint) authFile() string {
	if e.AuthFile != "" {
		return e.AuthFile
	}
	return os.Getenv("REGISTRY_AUTH_FILE")
}

// daemonHost honours DOCKER_HOST as docker itself does.
func (e Endpoint) daemonHost() string {
	if e.DaemonHost != "" {
		return e.DaemonHost
	}
	return os.Getenv("DOCKER_HOST")
}

// tempDir is where big files are spooled. The library would take /var/tmp and
// never looks at TMPDIR.
func (o *Options) tempDir() string {
	switch {
	case o.TempDir != "":
		return o.TempDir
	case os.Getenv("TMPDIR") != "":
		return os.Getenv("TMPDIR")
	default:
		return "/var/tmp"
	}
}
