package spec

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", "golden", name)
	got = withoutCaller(got)
	if *update {
		must(t, os.MkdirAll(filepath.Dir(file), 0o755))
		must(t, os.WriteFile(file, got, 0o644))
		return
	}
	want, err := os.ReadFile(file)
	must(t, err)
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (go test -update writes it anew):\n%s", file, diff)
	}
}

func generate(t testing.TB, in Input, opt Options) *Result {
	t.Helper()
	res, err := Generate(in, opt)
	must(t, err)
	return res
}

// withoutCaller takes out the owner that a volume has when another user than
// root runs the tests.
func withoutCaller(data []byte) []byte {
	if os.Geteuid() == 0 {
		return data
	}
	owner := regexp.MustCompile(fmt.Sprintf(`,\s*"(uid=%d|gid=%d)"`, os.Geteuid(), os.Getegid()))
	return owner.ReplaceAll(data, nil)
}

// withoutSeccomp leaves out what depends on the kernel and the processor.
func withoutSeccomp(d *Document) *Document {
	d = d.Clone()
	if d.get("linux", "seccomp") != nil {
		d.set(nil, newString("(moby's profile)"), "linux", "seccomp")
	}
	return d
}

func TestGoldenProfiles(t *testing.T) {
	for _, name := range profileNames {
		golden(t, name+".json", withoutSeccomp(generate(t, gsInput(t), Options{Defaults: name}).Document).Bytes())
	}
	in := gsInput(t)
	in.Host.CgroupV2 = true
	golden(t, "cgroup2.json", withoutSeccomp(generate(t, in, Options{}).Document).Bytes())
	in = gsInput(t)
	in.Host.EUID, in.Host.EGID, in.Rootless = 1000, 1000, true
	root := ProcessOptions{User: ptr("0")}
	golden(t, "rootless.json", withoutSeccomp(generate(t, in, Options{ProcessOptions: root}).Document).Bytes())
	in.Host.EUID, in.Host.EGID, in.Host.UserNamespace = 0, 0, true
	in.Host.UIDMap, in.Host.GIDMap = []IDRange{{0, 1000, 1}}, []IDRange{{0, 1000, 1}}
	golden(t, "usernamespace.json", withoutSeccomp(generate(t, in, Options{ProcessOptions: root}).Document).Bytes())
}

// The flags, each with its effect on the document of the default profile.
func TestGoldenFlags(t *testing.T) {
	in := gsInput(t)
	base := parse(t, string(withoutCaller(withoutSeccomp(generate(t, in, Options{}).Document).Bytes())))
	var out strings.Builder
	for _, c := range flagCases() {
		res, err := Generate(in, c.opt)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		fmt.Fprintf(&out, "# %s\n", c.name)
		changed := parse(t, string(withoutCaller(withoutSeccomp(res.Document).Bytes())))
		for _, d := range Diff(base, changed) {
			fmt.Fprintf(&out, "  %s: %s -> %s\n", d.Pointer, orNone(d.Old), orNone(d.New))
		}
		for _, w := range res.Warnings {
			fmt.Fprintf(&out, "  warning: %s\n", w)
		}
		out.WriteString("\n")
	}
	golden(t, "flags.txt", []byte(out.String()))
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

// The same input gives the same bytes.
func TestReproducible(t *testing.T) {
	in := gsInput(t)
	first := generate(t, in, Options{}).Document.Bytes()
	for range 20 {
		if got := generate(t, in, Options{}).Document.Bytes(); !bytes.Equal(got, first) {
			t.Fatalf("a second run differs:\n%s", cmp.Diff(string(first), string(got)))
		}
	}
}

// Every value says where it came from.
func TestEveryFieldHasAnOrigin(t *testing.T) {
	in := gsInput(t)
	for _, c := range append(flagCases(), flagCase{}) {
		for _, f := range generate(t, in, c.opt).Document.Fields() {
			if f.Source == "" {
				t.Errorf("%s: %s = %s has no origin", c.name, f.Pointer, f.Value)
			}
		}
	}
}

func TestSeccompFollowsTheCapabilities(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the profile is compared on amd64")
	}
	in := gsInput(t)
	allowed := func(d *Document, name string) bool {
		for _, rule := range d.get("linux", "seccomp", "syscalls").each() {
			for _, n := range rule.member("names").texts() {
				if n == name && rule.member("action").text() == "SCMP_ACT_ALLOW" && len(rule.member("args").each()) == 0 {
					return true
				}
			}
		}
		return false
	}
	plain := generate(t, in, Options{}).Document
	admin := generate(t, in, Options{SecurityOptions: SecurityOptions{CapAdd: []string{"SYS_ADMIN"}}}).Document
	none := generate(t, in, Options{SecurityOptions: SecurityOptions{CapDrop: []string{"all"}}}).Document
	for _, tt := range []struct {
		call string
		doc  *Document
		want bool
	}{{"mount", plain, false}, {"mount", admin, true}, {"chroot", plain, true}, {"chroot", none, false}, {"read", none, true}} {
		if got := allowed(tt.doc, tt.call); got != tt.want {
			t.Errorf("%s allowed = %v, want %v", tt.call, got, tt.want)
		}
	}
	// A filter computes the rules again, from those of the document alone.
	res, err := Filter(parse(t, string(plain.Bytes())), Input{Host: in.Host}, Options{SecurityOptions: SecurityOptions{CapAdd: []string{"SYS_ADMIN"}}})
	must(t, err)
	if !res.Document.get("linux", "seccomp").equal(admin.get("linux", "seccomp")) {
		t.Error("a filter with --cap-add SYS_ADMIN leaves other rules than the generator")
	}
	// Rules that somebody wrote stay.
	own := parse(t, string(plain.Bytes()))
	own.set(nil, newString("SCMP_ACT_LOG"), "linux", "seccomp", "defaultAction")
	res, err = Filter(own, Input{Host: in.Host}, Options{SecurityOptions: SecurityOptions{CapAdd: []string{"SYS_ADMIN"}}})
	must(t, err)
	if !res.Document.get("linux", "seccomp").equal(own.get("linux", "seccomp")) || len(res.Warnings) == 0 {
		t.Errorf("a filter changed rules of others, or did not warn: %v", res.Warnings)
	}
}
