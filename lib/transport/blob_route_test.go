package transport_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	gcr "github.com/google/go-containerregistry/pkg/registry"
	"go.podman.io/image/v5/signature/sigstore"

	"github.com/oci-plumbing/oci-plumbing/lib/transport"
)

// A signed image goes from a registry into another one and into a directory
// with its signature and the very bytes of its blobs, and for a policy that
// wants another key none of it arrives.
func TestSignedRoute(t *testing.T) {
	t.Parallel()
	img, work := sample(t), t.TempDir()
	start := func() string {
		s := httptest.NewServer(gcr.New(gcr.Logger(log.New(io.Discard, "", 0))))
		t.Cleanup(s.Close)
		return strings.TrimPrefix(s.URL, "http://")
	}
	first, second := start(), start()
	write(t, filepath.Join(work, "x.yaml"), "default-docker:\n  use-sigstore-attachments: true\n")
	pair, err := sigstore.GenerateKeyPair([]byte("pass"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := sigstore.GenerateKeyPair([]byte("pass"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(work, "key"), string(pair.PrivateKey))
	write(t, filepath.Join(work, "pass"), "pass\n")
	policy := func(name string, key []byte) string {
		write(t, filepath.Join(work, name+".pub"), string(key))
		path := filepath.Join(work, name+".json")
		write(t, path, fmt.Sprintf(`{"default":[{"type":"sigstoreSigned","keyPath":%q,"signedIdentity":{"type":"matchRepository"}}],`+
			`"transports":{"oci":{"":[{"type":"insecureAcceptAnything"}]}}}`, filepath.Join(work, name+".pub")))
		return path
	}
	plain := false
	copier := func(o transport.Options) *transport.Copier {
		o.RegistriesDir = work
		o.Source.TLSVerify, o.Destination.TLSVerify = &plain, &plain
		return newCopier(t, o)
	}
	sign := copier(transport.Options{Sign: transport.Signing{
		SigstoreKey: filepath.Join(work, "key"), PassphraseFile: filepath.Join(work, "pass"),
	}})
	made, err := sign.Copy(context.Background(), "oci:"+img+":one", "docker://"+first+"/x:1")
	if err != nil {
		t.Fatal(err)
	}
	trusted, mistrusted := policy("ours", pair.PublicKey), policy("other", other.PublicKey)
	for _, dst := range []string{"docker://" + second + "/x:1", "docker://" + first + "/x:2", "dir:" + work + "/d"} {
		c := copier(transport.Options{Policy: trusted})
		got, err := c.Copy(context.Background(), "docker://"+first+"/x:1", dst)
		if err != nil {
			t.Errorf("to %s: %v", dst, err)
		} else if got.Digest != made.Digest {
			t.Errorf("to %s: digest %s, want %s", dst, got.Digest, made.Digest)
		}
	}
	if found, _ := filepath.Glob(filepath.Join(work, "d", "signature-*")); len(found) != 1 {
		t.Errorf("signatures in the directory: %q, want one", found)
	}
	// Both are whole.
	accept := copier(transport.Options{InsecurePolicy: true, RemoveSignatures: true})
	for i, src := range []string{"docker://" + second + "/x:1", "dir:" + work + "/d"} {
		if _, err := accept.Copy(context.Background(), src, fmt.Sprintf("oci:%s/s:%d", work, i)); err != nil {
			t.Errorf("from %s: %v", src, err)
		}
	}
	refuse := copier(transport.Options{Policy: mistrusted})
	if _, err := refuse.Copy(context.Background(), "docker://"+first+"/x:1", "dir:"+work+"/refused"); err == nil {
		t.Error("an image with a signature by another key was copied")
	}
	if left, _ := filepath.Glob(filepath.Join(work, "refused", "*")); len(left) > 0 {
		t.Errorf("left of the refused image: %q", left)
	}
}
