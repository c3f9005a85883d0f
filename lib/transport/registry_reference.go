package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/image"
	"go.podman.io/image/v5/pkg/docker/config"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/pkg/tlsclientconfig"
	"go.podman.io/image/v5/types"
	"go.podman.io/storage/pkg/configfile"

	"github.com/oci-plumbing/oci-plumbing/lib/transport/registry"
)

// registryRef is an image in a registry. Bytes go through package registry;
// the library's own client serves only where signatures are concerned, for
// which its interfaces are closed to others.
type registryRef struct {
	types.ImageReference
	copier *Copier
	named  reference.Named
}

// NewImage opens the image for reading.
func (r *registryRef) NewImage(ctx context.Context, sys *types.SystemContext) (types.ImageCloser, error) {
	src, err := r.NewImageSource(ctx, sys)
	if err != nil {
		return nil, err
	}
	return image.FromSource(ctx, sys, src)
}

// NewImageSource opens the image for reading.
func (r *registryRef) NewImageSource(ctx context.Context, sys *types.SystemContext) (types.ImageSource, error) {
	if r.copier.wantsSignatures(r.ImageReference, sys) {
		return r.ImageReference.NewImageSource(ctx, sys)
	}
	src, err := r.openFirst(ctx, sys)
	if err != nil {
		return nil, err
	}
	return src, nil
}

// openFirst finds the image on the first of its mirrors that has it, or in the
// registry itself, which comes last.
func (r *registryRef) openFirst(ctx context.Context, sys *types.SystemContext) (*registrySource, error) {
	places, err := pullSources(sys, r.named)
	if err != nil {
		return nil, err
	}
	var failures []error
	for _, place := range places {
		src, err := r.openSource(ctx, sys, place)
		if err == nil {
			return src, nil
		}
		if context.Cause(ctx) != nil {
			return nil, err
		}
		if len(places) > 1 {
			err = fmt.Errorf("at %s: %w", place.Reference, err)
		}
		failures = append(failures, err)
	}
	// The registry itself tells the kind of the failure; those of mirrors
	// are told beside it.
	last := failures[len(failures)-1]
	if len(failures) == 1 {
		return nil, last
	}
	return nil, &mirrored{error: last, all: errors.Join(failures...)}
}

// mirrored is the failure of a registry, with those of its mirrors in its text
// alone.
type mirrored struct {
	error
	all error
}

func (m *mirrored) Error() string { return m.all.Error() }
func (m *mirrored) Unwrap() error { return m.error }

// NewImageDestination opens the repository for writing.
func (r *registryRef) NewImageDestination(_ context.Context, sys *types.SystemContext) (types.ImageDestination, error) {
	found, err := sysregistriesv2.FindRegistry(sys, r.named.Name())
	if err != nil {
		return nil, fmt.Errorf("registries.conf: %w", err)
	}
	insecure := false
	if found != nil {
		if found.Blocked {
			return nil, blocked(sys, found)
		}
		insecure = found.Insecure
	}
	client, err := r.copier.client(sys, r.named, insecure)
	if err != nil {
		return nil, err
	}
	return &registryDestination{ref: r, client: client, repository: reference.Path(r.named), tempDir: sys.BigFilesTemporaryDir}, nil
}

// pullSources are the places to pull from, in the order of registries.conf.
func pullSources(sys *types.SystemContext, named reference.Named) ([]sysregistriesv2.PullSource, error) {
	found, err := sysregistriesv2.FindRegistry(sys, named.Name())
	switch {
	case err != nil:
		return nil, fmt.Errorf("registries.conf: %w", err)
	case found == nil:
		return []sysregistriesv2.PullSource{{Reference: named}}, nil
	case found.Blocked:
		return nil, blocked(sys, found)
	}
	places, err := found.PullSourcesFromReference(named)
	if err != nil {
		return nil, fmt.Errorf("registries.conf: %w", err)
	}
	return places, nil
}

func blocked(sys *types.SystemContext, found *sysregistriesv2.Registry) error {
	return fmt.Errorf("registry %s is blocked in %s", found.Prefix, sysregistriesv2.ConfigurationSourceDescription(sys))
}

// client returns the client for the registry of a repository; copies with the
// same access share it, and with it connections and tokens.
func (c *Copier) client(sys *types.SystemContext, named reference.Named, insecure bool) (*registry.Client, error) {
	domain := reference.Domain(named)
	auth, err := config.GetCredentialsForRef(sys, named)
	if err != nil {
		return nil, fmt.Errorf("credentials for %s: %w", named.Name(), err)
	}
	switch sys.DockerInsecureSkipTLSVerify {
	case types.OptionalBoolTrue:
		insecure = true
	case types.OptionalBoolFalse:
		insecure = false
	case types.OptionalBoolUndefined:
	}
	host := domain
	if host == "docker.io" {
		host = "registry-1.docker.io"
	}
	key := fmt.Sprintf("%q %q %t %q", host, auth, insecure, []string{sys.DockerBearerRegistryToken, sys.DockerCertPath})
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.clients[key]; known != nil {
		return known, nil
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: insecure} //nolint:gosec // asked for by name
	dir, err := certDir(sys, domain)
	if err != nil {
		return nil, err
	}
	if dir != "" {
		if err := tlsclientconfig.SetupCertificates(dir, secure); err != nil {
			return nil, fmt.Errorf("certificates in %s: %w", dir, err)
		}
	}
	client := registry.New(registry.Config{
		Host: host, TLS: secure, Insecure: insecure,
		Username: auth.Username, Password: auth.Password, IdentityToken: auth.IdentityToken,
		Token: sys.DockerBearerRegistryToken, TokenHosts: c.options.TokenServers,
		UserAgent: c.options.UserAgent, Retries: c.options.retries(), StallTimeout: c.options.StallTimeout,
		Log: c.options.note,
	})
	if c.clients == nil {
		c.clients = make(map[string]*registry.Client)
	}
	c.clients[key] = client
	return client, nil
}

// Close drops the connections that copies left open for those after them.
func (c *Copier) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, client := range c.clients {
		client.Close()
	}
	c.clients = nil
}

// retries is how often a request is repeated.
func (o *Options) retries() int {
	switch {
	case o.Retries < 0:
		return 0
	case o.Retries == 0:
		return 4
	default:
		return o.Retries
	}
}

// certDir is the directory of certificates for a host: the one given, or the
// first of containers-certs.d(5) that exists.
func certDir(sys *types.SystemContext, hostPort string) (string, error) {
	if sys.DockerCertPath != "" {
		return sys.DockerCertPath, nil
	}
	paths, err := configfile.GetSearchPaths(&configfile.File{
		Name: "certs", Extension: "d", DoNotUseExtensionForConfigName: true, UserId: os.Geteuid(),
	})
	if err != nil {
		return "", fmt.Errorf("find certs.d: %w", err)
	}
	for _, base := range append(paths.DropInDirectories, "/etc/docker/certs.d") {
		dir := filepath.Join(base, hostPort)
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir, nil
		}
	}
	return "", nil
}
