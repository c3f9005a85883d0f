package main

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"oci-copy": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/script",
		Setup: func(env *testscript.Env) error { return setup(t, env) },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"whole":    cmdWhole,
			"platform": cmdPlatform,
			"damage":   cmdDamage,
		},
		Condition: func(cond string) (bool, error) {
			_, err := os.Stat("/etc/containers/policy.json")
			return cond == "policy" && err == nil, nil
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// setup makes the layout "img" with the images "one" and "index", and starts
// two registries: one for all, and one for ali with the password sesame.
func setup(t *testing.T, env *testscript.Env) error {
	img := newLayout(t, filepath.Join(env.WorkDir, "img"))
	motd := strings.Repeat("hello, layer\n", 5000)
	img.tag("one", img.image(ispec.Platform{OS: "linux", Architecture: runtime.GOARCH}, true, motd, "the second layer\n"))
	img.tag("plain", img.image(ispec.Platform{OS: "linux", Architecture: runtime.GOARCH}, false, motd))
	index := ispec.Index{MediaType: ispec.MediaTypeImageIndex}
	index.SchemaVersion = 2
	for _, p := range []ispec.Platform{
		{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64", Variant: "v8"}, {OS: "linux", Architecture: "arm", Variant: "v7"},
	} {
		desc := img.image(p, true, p.Architecture)
		desc.Platform = &p
		index.Manifests = append(index.Manifests, desc)
	}
	img.tag("index", img.json(ispec.MediaTypeImageIndex, index))

	quiet := registry.Logger(log.New(io.Discard, "", 0))
	open, closed := httptest.NewServer(registry.New(quiet)), httptest.NewServer(locked(registry.New(quiet)))
	env.Defer(open.Close)
	env.Defer(closed.Close)
	home := filepath.Join(env.WorkDir, "home")
	for name, value := range map[string]string{
		"REG": strings.TrimPrefix(open.URL, "http://"), "LOCKED": strings.TrimPrefix(closed.URL, "http://"),
		"HOME": home, "XDG_CONFIG_HOME": filepath.Join(home, ".config"), "XDG_RUNTIME_DIR": filepath.Join(home, "run"),
		"TMPDIR": env.WorkDir, "NO_COLOR": "1",
	} {
		env.Setenv(name, value)
	}
	return os.MkdirAll(home, 0o700)
}

// locked lets nobody in without the password.
func locked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); !ok || user != "ali" || password != "sesame" {
			w.Header().Set("WWW-Authenticate", `Basic realm="cave"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// cmdWhole checks a layout with nothing of lib/layout: every blob has the
// digest of its name, all that is referred to is there with its size, nothing
// else lies about, and the tags are those given: whole LAYOUT TAG...
func cmdWhole(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: whole LAYOUT TAG...")
	}
	dir := ts.MkAbs(args[0])
	entries, err := os.ReadDir(dir)
	ts.Check(err)
	for _, e := range entries {
		if n := e.Name(); n != "blobs" && n != "index.json" && n != "oci-layout" {
			ts.Fatalf("%s lies about in %s", n, args[0])
		}
	}
	blobs, err := filepath.Glob(filepath.Join(dir, "blobs", "*", "*"))
	ts.Check(err)
	for _, path := range blobs {
		data, err := os.ReadFile(path)
		ts.Check(err)
		if got := digest.Algorithm(filepath.Base(filepath.Dir(path))).FromBytes(data).Encoded(); got != filepath.Base(path) {
			ts.Fatalf("blob %s has the digest %s", path, got)
		}
	}
	var index ispec.Index
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(filepath.Join(dir, "index.json"))), &index))
	var tags []string
	for _, d := range index.Manifests {
		tags = append(tags, d.Annotations[ispec.AnnotationRefName])
		follow(ts, dir, d)
	}
	wanted := slices.Sorted(slices.Values(args[1:]))
	slices.Sort(tags)
	if got, want := strings.Join(tags, " "), strings.Join(wanted, " "); got != want {
		ts.Fatalf("%s has the tags %q, want %q", args[0], got, want)
	}
}

// follow checks that a descriptor and all below it are there.
func follow(ts *testscript.TestScript, dir string, d ispec.Descriptor) {
	raw, err := os.ReadFile(filepath.Join(dir, "blobs", d.Digest.Algorithm().String(), d.Digest.Encoded()))
	ts.Check(err)
	if int64(len(raw)) != d.Size {
		ts.Fatalf("%s has %d bytes, its descriptor says %d", d.Digest, len(raw), d.Size)
	}
	if !strings.Contains(d.MediaType, "manifest") && !strings.Contains(d.MediaType, "index") {
		return
	}
	var below struct {
		Manifests, Layers []ispec.Descriptor
		Config            *ispec.Descriptor
	}
	ts.Check(json.Unmarshal(raw, &below))
	if below.Config != nil {
		below.Layers = append(below.Layers, *below.Config)
	}
	for _, child := range append(below.Manifests, below.Layers...) {
		follow(ts, dir, child)
	}
}

// cmdPlatform checks the architecture of an image in a layout:
// platform LAYOUT TAG ARCHITECTURE.
func cmdPlatform(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: platform LAYOUT TAG ARCHITECTURE")
	}
	dir := ts.MkAbs(args[0])
	var index ispec.Index
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(filepath.Join(dir, "index.json"))), &index))
	for _, d := range index.Manifests {
		if d.Annotations[ispec.AnnotationRefName] != args[1] {
			continue
		}
		var m ispec.Manifest
		var config ispec.Image
		ts.Check(json.Unmarshal([]byte(ts.ReadFile(filepath.Join(dir, "blobs/sha256", d.Digest.Encoded()))), &m))
		ts.Check(json.Unmarshal([]byte(ts.ReadFile(filepath.Join(dir, "blobs/sha256", m.Config.Digest.Encoded()))), &config))
		if (config.Architecture == args[2]) == neg {
			ts.Fatalf("%s:%s is for %s", args[0], args[1], config.Architecture)
		}
		return
	}
	ts.Fatalf("no tag %s in %s", args[1], args[0])
}

// cmdDamage flips a bit in the middle of a file, or of the largest file below
// a directory: damage PATH.
func cmdDamage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: damage PATH")
	}
	victim, size := "", int64(-1)
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > size {
			victim, size = path, info.Size()
		}
		return err
	}))
	data, err := os.ReadFile(victim)
	ts.Check(err)
	data[len(data)/2] ^= 1
	ts.Check(os.WriteFile(victim, data, 0o644))
}
