package spec

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/oci-plumbing/oci-plumbing/internal/testimage"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/spec/cdi"
)

// fromConfig makes the document of an image whose config has the members.
func fromConfig(t *testing.T, config string, opt Options) (*Result, error) {
	t.Helper()
	img, err := ParseImage([]byte(`{"os":"linux","architecture":"amd64","config":` + config + `}`))
	if err != nil {
		return nil, err
	}
	return Generate(Input{Image: img, Root: "rootfs", Rootfs: gsTree(t), Host: fixedHost()}, opt)
}

func TestArguments(t *testing.T) {
	args := func(words ...string) ProcessOptions { return ProcessOptions{Args: words} }
	for _, tt := range []struct {
		config string
		opt    ProcessOptions
		want   []string
	}{
		{`{"Entrypoint":["e"],"Cmd":["c"]}`, ProcessOptions{}, []string{"e", "c"}},
		{`{"Entrypoint":["e"],"Cmd":null}`, ProcessOptions{}, []string{"e"}},
		{`{"Entrypoint":[],"Cmd":["c"]}`, ProcessOptions{}, []string{"c"}},
		{`{"Entrypoint":[""],"Cmd":["c"]}`, ProcessOptions{}, []string{"c"}},
		{`{"Entrypoint":["e"],"Cmd":["c"]}`, args("x", ""), []string{"e", "x", ""}},
		{`{"Entrypoint":["e"],"Cmd":["c"]}`, args(), []string{"e", "c"}},
		{`{"Entrypoint":["e"],"Cmd":["c"]}`, ProcessOptions{Entrypoint: ptr("n")}, []string{"n"}},
		{`{"Entrypoint":["e"],"Cmd":["c"]}`, ProcessOptions{Entrypoint: ptr(""), Args: []string{"x"}}, []string{"x"}},
		{`{"Entrypoint":["e"],"Cmd":["c"]}`, ProcessOptions{Entrypoint: ptr("")}, nil},
		{`{}`, ProcessOptions{}, nil},
		{`null`, ProcessOptions{}, nil},
		{`{"Cmd":[""]}`, ProcessOptions{}, nil},
		{`{"Cmd":[]}`, args("x"), []string{"x"}},
	} {
		res, err := fromConfig(t, tt.config, Options{ProcessOptions: tt.opt})
		switch {
		case tt.want == nil && !errors.Is(err, fault.ErrRefused):
			t.Errorf("%s with %v: %v, want a refusal", tt.config, tt.opt.Args, err)
		case tt.want != nil && (err != nil || !cmp.Equal(res.Document.Args(), tt.want)):
			t.Errorf("%s with %v = %v, %v, want %v", tt.config, tt.opt.Args, res, err, tt.want)
		}
	}
}

func TestEnvironment(t *testing.T) {
	for _, tt := range []struct {
		env  string
		opt  ProcessOptions
		want []string
	}{
		{`[]`, ProcessOptions{}, []string{defaultPath}},
		{`["A=1"]`, ProcessOptions{}, []string{"A=1", defaultPath}},
		{`["PATH="]`, ProcessOptions{}, []string{"PATH="}},
		{`["B=1","A=1","B=2=3","PATH=/"]`, ProcessOptions{}, []string{"B=2=3", "A=1", "PATH=/"}},
		{`["OLD","PATH=/"]`, ProcessOptions{}, []string{"PATH=/"}},
		{`["HOME=/custom","PATH=/"]`, ProcessOptions{}, []string{"HOME=/custom", "PATH=/"}},
		{`["TERM=vt100","PATH=/"]`, ProcessOptions{Terminal: ptr(true)}, []string{"TERM=vt100", "PATH=/"}},
		{`["A=1","PATH=/"]`, ProcessOptions{Env: []string{"A=2", "C=", "COPIED", "A=3"}}, []string{"A=3", "PATH=/", "C=", "COPIED=from-host"}},
	} {
		opt := tt.opt
		opt.Args = []string{"x"}
		res, err := fromConfig(t, `{"Env":`+tt.env+`}`, Options{ProcessOptions: opt})
		if err != nil {
			t.Errorf("%s: %v", tt.env, err)
			continue
		}
		if got := res.Document.strings("process", "env"); !cmp.Equal(got, tt.want) {
			t.Errorf("%s with %v = %q, want %q", tt.env, tt.opt.Env, got, tt.want)
		}
	}
}

func TestEnvFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "env")
	must(t, os.WriteFile(file, []byte("\xef\xbb\xbfA=1\r\n# comment\n\n  B=\"quoted\" # kept\nCOPIED\nMISSING\n"), 0o644))
	res, err := fromConfig(t, `{"Env":["PATH=/"]}`, Options{ProcessOptions: ProcessOptions{Args: []string{"x"}, EnvFiles: []string{file}, Env: []string{"A=2"}}})
	must(t, err)
	want := []string{"PATH=/", "A=2", `B="quoted" # kept`, "COPIED=from-host"}
	if got := res.Document.strings("process", "env"); !cmp.Equal(got, want) {
		t.Errorf("env = %q, want %q", got, want)
	}
	must(t, os.WriteFile(file, []byte("A B=1\n"), 0o644))
	if _, err := fromConfig(t, `{}`, Options{ProcessOptions: ProcessOptions{Args: []string{"x"}, EnvFiles: []string{file}}}); !errors.Is(err, fault.ErrUsage) {
		t.Errorf("a name with a space = %v, want a usage error", err)
	}
}

func TestImageConfigRefused(t *testing.T) {
	for _, config := range []string{
		`[]`, `"x"`, `{"User":5}`, `{"User":"0","user":"1"}`, `{"Env":{}}`, `{"Env":[1]}`, `{"Env":["=x"]}`, `{"Env":["A=\u0000"]}`, `{"Cmd":"sh"}`,
		`{"Cmd":["a\u0000"]}`, `{"WorkingDir":"/a\u0000b"}`, `{"WorkingDir":"/proc/self/fd/7"}`, `{"WorkingDir":"proc/1"}`, `{"Volumes":{"/":{}}}`,
		`{"Volumes":{"/proc/x":{}}}`, `{"Volumes":{"/../sys":{}}}`, `{"Volumes":{"":{}}}`, `{"Volumes":[]}`, `{"Labels":{"a":1}}`, `{"User":"nosuch"}`, `{"User":"-1"}`,
	} {
		if res, err := fromConfig(t, config, Options{ProcessOptions: ProcessOptions{Args: []string{"x"}}}); !errors.Is(err, fault.ErrRefused) {
			t.Errorf("%s = %v, %v, want a refusal", config, res, err)
		}
	}
	for _, text := range []string{`{"os":"windows","config":{"Cmd":["x"]}}`, `{"architecture":"sparc64","config":{"Cmd":["x"]}}`} {
		img, err := ParseImage([]byte(text))
		must(t, err)
		if _, err := Generate(Input{Image: img, Host: fixedHost()}, Options{}); !errors.Is(err, fault.ErrRefused) {
			t.Errorf("%s = %v, want a refusal", text, err)
		}
	}
}

// A working directory that is a link is judged by where it leads.
func TestWorkDirBehindALink(t *testing.T) {
	img, err := ParseImage([]byte(`{"config":{"Cmd":["x"],"WorkingDir":"/w"}}`))
	must(t, err)
	for target, ok := range map[string]bool{"/proc/self/fd/8": false, "../../proc": false, "/srv": true, "w": true} {
		in := Input{Image: img, Rootfs: tree(t, map[string]string{"w": "-> " + target}), Host: fixedHost()}
		if _, err := Generate(in, Options{}); (err == nil) != ok {
			t.Errorf("a link to %s: %v, want it taken: %v", target, err, ok)
		}
	}
}

func TestVolumes(t *testing.T) {
	res, err := fromConfig(t, `{"Cmd":["x"],"Volumes":{"/b/c":{},"/b":{},"/../a,bind,source=/etc":{},"/b/":{}}}`, Options{})
	must(t, err)
	var got []string
	for _, m := range res.Document.get("mounts").items[7:] {
		if m.member("type").text() != "tmpfs" {
			t.Errorf("a volume became %s", m.compact())
		}
		got = append(got, m.member("destination").text())
	}
	if want := []string{"/a,bind,source=/etc", "/b", "/b/c"}; !slices.Equal(got, want) {
		t.Errorf("volumes = %q, want %q: parents first, each once", got, want)
	}
	// Those of the image give way to those of the user.
	res, err = fromConfig(t, `{"Cmd":["x"],"Volumes":{"/b":{}}}`, Options{MountOptions: MountOptions{Volumes: []string{"/h:/b/:ro"}}})
	must(t, err)
	if m := res.Document.get("mounts").items; len(m) != 8 || m[7].member("source").text() != "/h" {
		t.Errorf("mounts = %v, want the bind of the user alone", res.Document.get("mounts").compact())
	}
}

func TestVolumesAsDirectories(t *testing.T) {
	rootfs := tree(t, map[string]string{"data/f": "content", "data/sub/g": "g", "data/link": "-> /etc/shadow"})
	must(t, os.Chmod(filepath.Join(rootfs.Path(), "data/sub"), os.ModeSetgid|0o750))
	to := filepath.Join(t.TempDir(), "volumes", "data")
	copyUp := func(from, to string) (undo func() error) {
		undo, err := rootfs.CopyUp(CopyUp{From: from, To: to})
		must(t, err)
		return undo
	}
	// What is taken back is what was made: the directories above, too.
	must(t, copyUp("/data", to)())
	if _, err := os.Stat(filepath.Dir(to)); !os.IsNotExist(err) {
		t.Errorf("after undo: %v, want nothing", err)
	}
	must(t, os.MkdirAll(to, 0o700))
	must(t, copyUp("/data", to)())
	if entries, err := os.ReadDir(to); err != nil || len(entries) > 0 {
		t.Errorf("after undo: %v, %v, want an empty directory", entries, err)
	}
	if info, err := os.Stat(to); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("after undo the mode is %v, %v", info.Mode(), err)
	}
	copyUp("/data", to)
	for name, want := range map[string]string{"f": "content", "sub/g": "g"} {
		if got, err := os.ReadFile(filepath.Join(to, name)); err != nil || string(got) != want {
			t.Errorf("%s = %q, %v, want %q", name, got, err, want)
		}
	}
	if got, err := os.Readlink(filepath.Join(to, "link")); err != nil || got != "/etc/shadow" {
		t.Errorf("the link = %q, %v, want it copied, not followed", got, err)
	}
	if info, err := os.Stat(filepath.Join(to, "sub")); err != nil || info.Mode().Perm() != 0o750 || info.Mode()&os.ModeSetgid == 0 {
		t.Errorf("the mode of sub = %v, %v", info.Mode(), err)
	}
	// A second time nothing is copied, and what is not in the image is empty.
	must(t, os.WriteFile(filepath.Join(to, "f"), []byte("changed"), 0o644))
	must(t, copyUp("/data", to)())
	if got, err := os.ReadFile(filepath.Join(to, "f")); err != nil || string(got) != "changed" {
		t.Errorf("f = %q, %v, want what was there", got, err)
	}
	copyUp("/nosuch", to+"2")
	if entries, err := os.ReadDir(to + "2"); err != nil || len(entries) > 0 {
		t.Errorf("a volume of nothing = %v, %v", entries, err)
	}
}

func TestLabels(t *testing.T) {
	var labels []string
	steer := []string{
		"run.oci.seccomp_bpf_data", "run.oci.handler", "run.oci.hooks.stderr", "run.oci.keep_original_groups", "org.systemd.property.TasksMax", "org.criu.config",
		"cdi.k8s.io/x", "vendor.cdi.k8s.io/x", "io.katacontainers.config.hypervisor.path", "org.opencontainers.runc.exposed.ids", "dev.gvisor.flag.debug", "io.kubernetes.cri-o.Devices",
		"module.wasm.image/variant", "devices.nri.io/container.x",
	}
	for _, key := range append(slices.Clone(steer), "a", "org.opencontainers.image.author", "") {
		data, err := json.Marshal(key)
		must(t, err)
		labels = append(labels, string(data)+`:"v"`)
	}
	res, err := fromConfig(t, `{"Cmd":["x"],"Labels":{`+strings.Join(labels, ",")+`}}`, Options{AllowAnnotations: []string{"org.criu.config"}})
	must(t, err)
	for _, key := range steer {
		if got, want := res.Document.Annotation(key), ""; got != want && key != "org.criu.config" {
			t.Errorf("label %s became an annotation", key)
		}
	}
	for _, key := range []string{"a", "org.opencontainers.image.author", "org.criu.config"} {
		if res.Document.Annotation(key) != "v" {
			t.Errorf("label %s did not become an annotation", key)
		}
	}
	if len(res.Ignored) != len(steer) {
		t.Errorf("ignored = %v, want all but the allowed one, and the empty key", res.Ignored)
	}
}

func TestIsSignal(t *testing.T) {
	for s, want := range map[string]bool{
		"SIGQUIT": true, "QUIT": true, "3": true, "64": true, "SIGRTMIN+3": true, "RTMAX-14": true, "SIGRTMIN": true,
		"": false, "SIG": false, "65": false, "999": false, "FOO": false, "SIGTERM; rm": false, "RTMIN+": false, "RTMIN+x": false, "SIGRTMIN3": false,
	} {
		if got := isSignal(s); got != want {
			t.Errorf("isSignal(%q) = %v, want %v", s, got, want)
		}
	}
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{"1": 1, "64m": 64 << 20, "64MiB": 64 << 20, "1.5g": 3 << 29, "2kb": 2048, "-1": -1, "0": 0, "1b": 1} {
		if got, err := parseSize(s); err != nil || got != want {
			t.Errorf("parseSize(%q) = %d, %v, want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "m", "1x", "-5", "1e3", "0x10", "1/2", "1_000", "8388608t", "1mm", " 1"} {
		if got, err := parseSize(s); err == nil {
			t.Errorf("parseSize(%q) = %d, want an error", s, got)
		}
	}
}

// The profile equals what the library gives for the same capabilities.
func TestSeccompOfTheDefaultProfile(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the captured profile is of amd64")
	}
	data, err := os.ReadFile(filepath.Join(testimage.Shared(t, "reference/configs"), "seccomp-moby-profiles-v0.2.4.json"))
	must(t, err)
	got := generate(t, gsInput(t), Options{}).Document.get("linux", "seccomp").compact()
	if diff := cmp.Diff(decodeNumbers(t, data), decodeNumbers(t, []byte(got))); diff != "" {
		t.Errorf("seccomp differs from the captured one:\n%s", diff)
	}
}

// A profile in docker's form is resolved, since a runtime ignores conditions.
func TestSeccompFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "profile.json")
	must(t, os.WriteFile(file, []byte(`{"defaultAction":"SCMP_ACT_ERRNO","archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}],
		"syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"},{"names":["mount"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}}]}`), 0o644))
	opt := Options{SecurityOptions: SecurityOptions{SecurityOpt: []string{"seccomp=" + file}}}
	calls := func(opt Options) string {
		return generate(t, gsInput(t), opt).Document.get("linux", "seccomp", "syscalls").compact()
	}
	if got, want := calls(opt), `[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]`; got != want {
		t.Errorf("syscalls = %s, want %s", got, want)
	}
	opt.CapAdd = []string{"SYS_ADMIN"}
	if got := calls(opt); !strings.Contains(got, "mount") {
		t.Errorf("syscalls with SYS_ADMIN = %s, want mount among them", got)
	}
	must(t, os.WriteFile(file, []byte("{} trailing"), 0o644))
	if _, err := Generate(gsInput(t), opt); !errors.Is(err, fault.ErrRefused) {
		t.Errorf("a malformed profile = %v, want a refusal", err)
	}
}

func TestInit(t *testing.T) {
	program := filepath.Join(t.TempDir(), "init")
	must(t, os.WriteFile(program, []byte("x"), 0o755))
	opt := Options{ProcessOptions: ProcessOptions{InitPath: program}}
	first := generate(t, gsInput(t), opt).Document
	want := []string{initInside, "--", "/bin/sh", "-c", "id"}
	if got := first.Args(); !cmp.Equal(got, want) {
		t.Errorf("args = %q, want %q", got, want)
	}
	second, err := Filter(first, Input{Host: fixedHost()}, opt)
	must(t, err)
	if got := second.Document.Args(); !cmp.Equal(got, want) {
		t.Errorf("args after a second time = %q, want %q", got, want)
	}
	opt.InitPath = program + "-nosuch"
	if _, err := Generate(gsInput(t), opt); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("a missing init = %v, want not found", err)
	}
}

// CDI devices come from specification files, in YAML or JSON.
func TestCDI(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "v.yaml"), []byte(`cdiVersion: "0.6.0"
kind: "vendor.example/class"
devices:
- name: one
  containerEdits:
    env: ["VENDOR=1"]
    deviceNodes: [{path: /dev/null, permissions: r}, {path: /dev/vendor, hostPath: /dev/zero}]
    mounts: [{hostPath: /tmp, containerPath: /lib/vendor, options: [ro, rbind]}]
    hooks: [{hookName: createContainer, path: /bin/true, args: ["true"]}]
`), 0o644))
	opt := Options{MountOptions: MountOptions{CDI: func(d string) (*specs.Spec, map[string]string, error) { return cdi.Edits([]string{dir}, d) }, Devices: []string{"vendor.example/class=one"}}}
	doc := generate(t, gsInput(t), opt).Document
	if !slices.Contains(doc.strings("process", "env"), "VENDOR=1") {
		t.Error("the variable is missing")
	}
	if n := doc.get("hooks", "createContainer"); len(n.each()) != 1 {
		t.Errorf("hooks = %v, want one", n)
	}
	if n := doc.get("linux", "devices"); len(n.each()) != 2 || n.items[1].member("minor").literal != "5" {
		t.Errorf("devices = %v, want null and zero", n.compact())
	}
	if last := doc.get("linux", "resources", "devices").items; len(last) != 3 || last[1].member("access").text() != "r" {
		t.Errorf("rules of devices = %v", doc.get("linux", "resources", "devices").compact())
	}
	// Without privileges the device is bound.
	opt.Rootless, opt.User = ptr(true), ptr("0")
	doc = generate(t, gsInput(t), opt).Document
	bound := make(map[string]string)
	for _, m := range doc.get("mounts").items {
		bound[m.member("destination").text()] = m.member("source").text()
	}
	if doc.get("linux", "devices") != nil || bound["/dev/null"] != "/dev/null" || bound["/dev/vendor"] != "/dev/zero" {
		t.Errorf("without privileges the devices are not bound: %v", bound)
	}
}

// The hardened profile has its tmpfs with the read-only root only.
func TestHardenedScratch(t *testing.T) {
	in := gsInput(t)
	for _, tt := range []struct {
		opt  SecurityOptions
		want bool
	}{
		{SecurityOptions{}, true},
		{SecurityOptions{ReadOnly: ptr(true)}, true},
		{SecurityOptions{ReadOnly: ptr(false)}, false},
		{SecurityOptions{ReadOnlyTmpfs: ptr(false)}, false},
		{SecurityOptions{ReadOnly: ptr(true), ReadOnlyTmpfs: ptr(false)}, false},
	} {
		doc := generate(t, in, Options{Defaults: "hardened", SecurityOptions: tt.opt}).Document
		for _, dir := range []string{"/run", "/tmp", "/var/tmp"} {
			if got := slices.ContainsFunc(doc.get("mounts").items, func(m *node) bool { return cleanDestination(m) == dir }); got != tt.want {
				t.Errorf("%+v: a tmpfs on %s: %v", tt.opt, dir, got)
			}
		}
	}
}

func TestSystemdKnowsTheContainer(t *testing.T) {
	in := gsInput(t)
	for _, tt := range []struct {
		process ProcessOptions
		want    string
	}{
		{ProcessOptions{}, "container=oci"},
		{ProcessOptions{Env: []string{"container=lab"}}, "container=lab"},
		{ProcessOptions{UnsetEnv: []string{"container"}}, ""},
	} {
		doc := generate(t, in, Options{ProcessOptions: tt.process, MountOptions: MountOptions{Systemd: "always"}}).Document
		vars := slices.DeleteFunc(doc.strings("process", "env"), func(v string) bool { return !strings.HasPrefix(v, "container=") })
		if got := strings.Join(vars, " "); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.process, got, tt.want)
		}
	}
}
