package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// pki is a certificate of its own authority for the loopback.
type pki struct {
	dir string // ca.crt, for --cert-dir
	key string
	// signer signs tokens with the same key.
	signer *ecdsa.PrivateKey
	der    []byte
}

func newPKI(t *testing.T) *pki {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "loopback"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	rawKey, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	p := &pki{dir: t.TempDir(), signer: key, der: der}
	p.key = filepath.Join(t.TempDir(), "key.pem")
	for path, block := range map[string]*pem.Block{
		filepath.Join(p.dir, "ca.crt"): {Type: "CERTIFICATE", Bytes: der},
		p.key:                          {Type: "EC PRIVATE KEY", Bytes: rawKey},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// onEachRegistry runs a test with distribution v2, which is Debian's, and with
// the pinned v3.
func onEachRegistry(t *testing.T, test func(t *testing.T, registry string)) {
	t.Run("v2", func(t *testing.T) {
		test(t, program(t, "docker-registry", "docker-registry"))
	})
	t.Run("v3", func(t *testing.T) {
		pinned, err := filepath.Abs(filepath.Join("..", "..", "build", "tools", "registry"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(pinned); err != nil {
			t.Skip("the pinned registry is not built: make registry")
		}
		// It would send its traces to a collector on the loopback.
		t.Setenv("OTEL_TRACES_EXPORTER", "none")
		test(t, pinned)
	})
}

// startRegistry starts a registry with TLS and the given auth section.
func startRegistry(t *testing.T, registry string, p *pki, auth string) (host string) {
	t.Helper()
	dir, port := t.TempDir(), freePort(t)
	config := fmt.Sprintf("version: 0.1\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: 127.0.0.1:%s, tls: {certificate: %s, key: %s}}\n%s",
		dir, port, filepath.Join(p.dir, "ca.crt"), p.key, auth)
	file := filepath.Join(t.TempDir(), "config.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, listens(port), registry, "serve", file)
	return "127.0.0.1:" + port
}

func sampleLayout(t *testing.T) (dir string, one ispec.Descriptor) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "img")
	l := newLayout(t, dir)
	one = l.image(ispec.Platform{OS: "linux", Architecture: runtime.GOARCH}, true, strings.Repeat("layer one\n", 100_000), "layer two")
	l.tag("one", one)
	return dir, one
}

// sesame is the password of that name as htpasswd -B keeps it.
const sesame = "$2a$05$yD8S53yw0pMgjjJn9ygYVunkDL1Hl/ibN.KInqVP9OtNtyvFghTti"

// A real registry with TLS and a password file: there and back, byte for byte.
func TestRegistryWithPassword(t *testing.T) { onEachRegistry(t, registryWithPassword) }

func registryWithPassword(t *testing.T, registry string) {
	p := newPKI(t)
	passwords := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(passwords, []byte("ali:"+sesame+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	host := startRegistry(t, registry, p, "auth: {htpasswd: {realm: cave, path: "+passwords+"}}\n")
	dir, want := sampleLayout(t)
	if status, _, errs := ociCopy(t, "oci:"+dir+":one", "docker://"+host+"/a/b:1"); status != 1 || !strings.Contains(errs, "--cert-dir") {
		t.Errorf("with an unknown authority: status %d, %s", status, errs)
	}
	if status, _, errs := ociCopy(t, "--cert-dir", p.dir, "oci:"+dir+":one", "docker://"+host+"/a/b:1"); status != 1 || !strings.Contains(errs, "wants credentials") {
		t.Errorf("without credentials: status %d, %s", status, errs)
	}
	if status, _, errs := ociCopy(t, "--cert-dir", p.dir, "--creds", "ali:open-says-me", "oci:"+dir+":one", "docker://"+host+"/a/b:1"); status != 1 || !strings.Contains(errs, "refuses the credentials of ali: 401") {
		t.Errorf("with a wrong password: status %d, %s", status, errs)
	}
	access := []string{"--cert-dir", p.dir, "--creds", "ali:sesame"}
	mustCopy(t, append(access, "oci:"+dir+":one", "docker://"+host+"/a/b:1")...)
	back := filepath.Join(t.TempDir(), "back")
	mustCopy(t, append(access, "docker://"+host+"/a/b:1", "dir:"+back)...)
	raw, err := os.ReadFile(filepath.Join(back, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprintf("sha256:%x", sha256.Sum256(raw)) != want.Digest.String() {
		t.Error("the manifest has changed")
	}
	// Within the registry nothing travels.
	out := mustCopy(t, append(access, "--json", "docker://"+host+"/a/b:1", "docker://"+host+"/c:2")...)
	if !strings.Contains(out, `"bytes":0`) {
		t.Errorf("from repository to repository: %s", out)
	}
	mustCopy(t, append(access, "docker://"+host+"/c@"+want.Digest.String(), "oci:"+filepath.Join(t.TempDir(), "x")+":y")...)
	mustCopy(t, append(access, "docker://"+host+"/c:2", "docker://"+host+"/c:3")...)
	tags := filepath.Join(t.TempDir(), "tags")
	if out := mustCopy(t, append(access, "--tags", "docker://"+host+"/c", "oci:"+tags)...); len(strings.Fields(out)) != 2 || !strings.Contains(out+"\n", tags+":3\n") {
		t.Errorf("all tags: %q", out)
	}
}

// A real registry whose tokens come from another port, which gets the
// credentials only when it was named.
func TestRegistryWithTokens(t *testing.T) { onEachRegistry(t, registryWithTokens) }

func registryWithTokens(t *testing.T, registry string) {
	p := newPKI(t)
	var withPassword int
	tokens := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user == "ali" && password == "sesame" {
			withPassword++
			fmt.Fprintf(w, `{"token":%q}`, p.token(t, r.URL.Query()["scope"]))
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
	}))
	pair, err := tls.LoadX509KeyPair(filepath.Join(p.dir, "ca.crt"), p.key)
	if err != nil {
		t.Fatal(err)
	}
	tokens.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	tokens.StartTLS()
	t.Cleanup(tokens.Close)
	host := startRegistry(t, registry, p, "auth: {token: {realm: \""+tokens.URL+"/token\", service: s, issuer: i, rootcertbundle: "+filepath.Join(p.dir, "ca.crt")+"}}\n")
	dir, _ := sampleLayout(t)
	args := []string{"--creds", "ali:sesame", "--cert-dir", p.dir, "oci:" + dir + ":one", "docker://" + host + "/a:1"}
	status, _, errs := ociCopy(t, args...)
	named := strings.TrimPrefix(tokens.URL, "https://")
	if status != 1 || !strings.Contains(errs, "--allow-token-server "+named) {
		t.Errorf("status %d, %s", status, errs)
	}
	if withPassword > 0 {
		t.Fatal("the password went to another port")
	}
	mustCopy(t, append([]string{"--allow-token-server", named}, args...)...)
	if withPassword == 0 {
		t.Error("nobody asked for a token")
	}
	// A mount takes a token for both repositories.
	copied := []string{"--allow-token-server", named, "--creds", "ali:sesame", "--cert-dir", p.dir, "--json", "docker://" + host + "/a:1", "docker://" + host + "/b:1"}
	if out := mustCopy(t, copied...); !strings.Contains(out, `"bytes":0`) {
		t.Errorf("from repository to repository: %s", out)
	}
}

// token is a JSON web token as the registry checks it (RFC 7515), signed with
// the key of the certificate.
func (p *pki) token(t *testing.T, scopes []string) string {
	t.Helper()
	type access struct {
		Type    string   `json:"type"`
		Name    string   `json:"name"`
		Actions []string `json:"actions"`
	}
	var granted []access
	for _, scope := range scopes {
		parts := strings.Split(scope, ":")
		granted = append(granted, access{parts[0], parts[1], strings.Split(parts[2], ",")})
	}
	now := time.Now().Unix()
	encode := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	text := encode(map[string]any{"typ": "JWT", "alg": "ES256", "x5c": []string{base64.StdEncoding.EncodeToString(p.der)}}) + "." +
		encode(map[string]any{"iss": "i", "aud": "s", "sub": "ali", "iat": now, "nbf": now - 10, "exp": now + 600, "jti": fmt.Sprint(now), "access": granted})
	hash := sha256.Sum256([]byte(text))
	signature, err := p.signer.Sign(rand.Reader, hash[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	// The token wants the two numbers side by side, not in ASN.1.
	var pair struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(signature, &pair); err != nil {
		t.Fatal(err)
	}
	raw := append(pair.R.FillBytes(make([]byte, 32)), pair.S.FillBytes(make([]byte, 32))...)
	return text + "." + base64.RawURLEncoding.EncodeToString(raw)
}
