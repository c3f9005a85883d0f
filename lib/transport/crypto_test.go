package transport_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oci-plumbing/oci-plumbing/lib/transport"
)

// Layers encrypted for a key come back with it, and not without.
func TestEncryption(t *testing.T) {
	t.Parallel()
	img, work := sample(t), t.TempDir()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	pub, priv := filepath.Join(work, "pub.pem"), filepath.Join(work, "key.pem")
	write(t, pub, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})))
	write(t, priv, string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))

	ctx := context.Background()
	encrypt := newCopier(t, transport.Options{Encryption: transport.Encryption{EncryptFor: []string{"jwe:" + pub}}})
	if _, err := encrypt.Copy(ctx, "oci:"+img+":one", "oci:"+work+"/secret:x"); err != nil {
		t.Fatal(err)
	}
	if !mentions(t, work+"/secret", "+encrypted") {
		t.Fatal("no layer was encrypted")
	}
	// As it is, it can be copied on.
	if _, err := newCopier(t, transport.Options{}).Copy(ctx, "oci:"+work+"/secret:x", "oci:"+work+"/mirror:x"); err != nil {
		t.Error(err)
	}
	decrypt := newCopier(t, transport.Options{Encryption: transport.Encryption{DecryptWith: []string{priv}}})
	if _, err := decrypt.Copy(ctx, "oci:"+work+"/secret:x", "oci:"+work+"/plain:x"); err != nil {
		t.Fatal(err)
	}
	if mentions(t, work+"/plain", "+encrypted") {
		t.Error("a layer is still encrypted")
	}
	if _, err := newCopier(t, transport.Options{}).Copy(ctx, "oci:"+work+"/secret:x", "docker-archive:"+work+"/x.tar"); err == nil {
		t.Error("encrypted layers were put into a Docker archive")
	}
}

// mentions reports whether any small blob of the layout has the text.
func mentions(t *testing.T, dir, text string) bool {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "blobs", "sha256", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), text) {
			return true
		}
	}
	return false
}
