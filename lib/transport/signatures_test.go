package transport_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"go.podman.io/image/v5/signature/sigstore"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/transport"
)

// signedRegistry is a registry, and what signs images in it.
type signedRegistry struct {
	host, work string
	sign       transport.Signing
}

func newSignedRegistry(t *testing.T) *signedRegistry {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	s := &signedRegistry{host: strings.TrimPrefix(server.URL, "http://"), work: t.TempDir()}
	pair, err := sigstore.GenerateKeyPair([]byte("pass"))
	if err != nil {
		t.Fatal(err)
	}
	s.sign = transport.Signing{
		SigstoreKey: filepath.Join(s.work, "key"), PassphraseFile: filepath.Join(s.work, "pass"), Identity: "example.com/x:1",
	}
	write(t, s.sign.SigstoreKey, string(pair.PrivateKey))
	write(t, s.sign.PassphraseFile, "pass\n")
	return s
}

// configured is a registries.d directory of one file.
func (s *signedRegistry) configured(t *testing.T, name, content string) string {
	t.Helper()
	dir := filepath.Join(s.work, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "r.yaml"), content)
	return dir
}

func (s *signedRegistry) copier(t *testing.T, registriesDir string, sign bool) *transport.Copier {
	t.Helper()
	plain := false
	end := transport.Endpoint{TLSVerify: &plain}
	options := transport.Options{Source: end, Destination: end, RegistriesDir: registriesDir}
	if sign {
		options.Sign = s.sign
	}
	return newCopier(t, options)
}

func mustCopy(t *testing.T, c *transport.Copier, src, dst string) {
	t.Helper()
	if _, err := c.Copy(context.Background(), src, dst); err != nil {
		t.Fatal(err)
	}
}

// Signatures go with an image however registries.d and the directories concerned
// are written.
func TestSignaturesGoWithTheImage(t *testing.T) {
	t.Parallel()
	img, s := sample(t), newSignedRegistry(t)
	block := fmt.Sprintf("docker:\n  %s:\n    use-sigstore-attachments: true\n", s.host)
	signed := filepath.Join(s.work, "g[1]")
	c := s.copier(t, s.configured(t, "block", block), true)
	mustCopy(t, c, "oci:"+img+":one", "dir:"+signed)
	for i, config := range []string{block, fmt.Sprintf(`{"docker": {%q: {"use-sigstore-attachments": true}}}`, s.host), "default-docker: {use-sigstore-attachments: true}"} {
		dir := s.configured(t, fmt.Sprintf("rd[%d]", i), config)
		c, there, back := s.copier(t, dir, false), fmt.Sprintf("docker://%s/signed:%d", s.host, i), filepath.Join(s.work, fmt.Sprint("back", i))
		mustCopy(t, c, "dir:"+signed, there)
		mustCopy(t, c, there, "dir:"+back)
		if _, err := os.Stat(filepath.Join(back, "signature-1")); err != nil {
			t.Errorf("registries.d %s: %v", config, err)
		}
		if _, err := c.Copy(context.Background(), there, "oci:"+filepath.Join(s.work, "layout")+":x"); err == nil {
			t.Errorf("registries.d %s: a signature was dropped silently", config)
		}
	}
}

// Where the signature may not be written, the image is not pushed without.
func TestNoImageWithoutItsSignature(t *testing.T) {
	t.Parallel()
	img, s := sample(t), newSignedRegistry(t)
	dst := "docker://" + s.host + "/x:1"
	for name, config := range map[string]string{
		"none": "", "other": "docker: {example.com: {use-sigstore-attachments: true}}",
		"special": fmt.Sprintf("default-docker: {use-sigstore-attachments: true}\ndocker: {%q: {use-sigstore-attachments: false}}", s.host),
	} {
		c := s.copier(t, s.configured(t, name, config), true)
		_, err := c.Copy(context.Background(), "oci:"+img+":one", dst)
		if err == nil || !strings.Contains(err.Error(), "registries.d does not allow") || len(fault.Hints(err)) != 1 {
			t.Errorf("%s: Copy = %v with the hints %q", name, err, fault.Hints(err))
		}
		if _, err := s.copier(t, filepath.Join(s.work, name), false).Copy(context.Background(), dst, "oci:"+filepath.Join(s.work, "layout")+":x"); !errors.Is(err, fault.ErrNotFound) {
			t.Fatalf("%s: the image was pushed, or else: %v", name, err)
		}
	}
	// Nor without those that it brings along.
	signed := "dir:" + filepath.Join(s.work, "signed")
	mustCopy(t, s.copier(t, "", true), "oci:"+img+":one", signed)
	c := s.copier(t, filepath.Join(s.work, "none"), false)
	if _, err := c.Copy(context.Background(), signed, dst); err == nil || !strings.Contains(err.Error(), "registries.d does not allow") {
		t.Errorf("signed directory: Copy = %v", err)
	}
	if _, err := c.Copy(context.Background(), dst, "oci:"+filepath.Join(s.work, "layout")+":x"); !errors.Is(err, fault.ErrNotFound) {
		t.Fatalf("signed directory: the image was pushed, or else: %v", err)
	}
	c = s.copier(t, s.configured(t, "special-yes", fmt.Sprintf("default-docker: {use-sigstore-attachments: false}\ndocker: {%q: {use-sigstore-attachments: true}}", s.host+"/x")), true)
	mustCopy(t, c, "oci:"+img+":one", dst)
}
