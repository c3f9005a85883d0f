package spec

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/oci-plumbing/oci-plumbing/internal/testimage"
)

// sound is a document with nothing to object, and the options to check it.
func sound(t *testing.T) (*Document, CheckOptions) {
	t.Helper()
	in := gsInput(t)
	doc := generate(t, in, Options{ProcessOptions: ProcessOptions{User: ptr("root"), Entrypoint: ptr("/bin/sh")}}).Document
	doc.set(nil, newString(in.Rootfs.Path()), "root", "path")
	return doc, CheckOptions{Host: in.Host}
}

func TestCheckOfASoundDocument(t *testing.T) {
	doc, opt := sound(t)
	findings, err := Check(doc, opt)
	must(t, err)
	for _, f := range findings {
		t.Errorf("unexpected finding: %s", f)
	}
}

func TestCheckFinds(t *testing.T) {
	for _, tt := range []struct {
		set      []string
		remove   string
		pointer  string
		severity Severity
		layer    Layer
		message  string
	}{
		{set: []string{"/ociVersion=5"}, pointer: "/ociVersion", severity: SeverityError, layer: LayerSchema, message: "not of type string"},
		{set: []string{`/linux/namespaces/0/type="frob"`}, pointer: "/linux/namespaces/0/type", severity: SeverityError, layer: LayerSchema, message: "not among"},
		{set: []string{`/process/rlimits=[{"type":"RLIMIT_CPU","soft":-1,"hard":5}]`}, pointer: "/process/rlimits/0/soft", severity: SeverityError, layer: LayerSchema, message: "less than 0"},
		{set: []string{`/process/rlimits=[{"type":"rlimit_cpu","soft":1,"hard":5}]`}, pointer: "/process/rlimits/0/type", severity: SeverityError, layer: LayerSchema, message: "does not match"},
		{set: []string{`/linux/devices=[{"path":"/dev/x","type":"c","major":1,"minor":3,"fileMode":8576}]`}, pointer: "/linux/devices/0/fileMode", severity: SeverityError, layer: LayerSchema, message: "greater than 511"},
		{set: []string{`/mounts/0={"type":"proc"}`}, pointer: "/mounts/0", severity: SeverityError, layer: LayerSchema, message: `no member "destination"`},
		{set: []string{`/process/teminal=true`}, pointer: "/process/teminal", severity: SeverityWarning, layer: LayerSchema, message: "ignores it"},
		{set: []string{`/linux/rootfsPropagation="frob"`}, pointer: "/linux/rootfsPropagation", severity: SeverityError, layer: LayerSchema, message: "not among"},
		{set: []string{`/linux/intelRdt={"l3CacheSchema":1}`}, pointer: "/linux/intelRdt/l3CacheSchema", severity: SeverityError, layer: LayerSchema, message: "not of type"},

		{set: []string{`/domainname="x"`}, pointer: "/ociVersion", severity: SeverityWarning, layer: LayerRule, message: "came with 1.1.0"},
		{set: []string{"/process/args=[]"}, pointer: "/process/args", severity: SeverityError, layer: LayerRule, message: "no command"},
		{set: []string{`/process/args=[""]`}, pointer: "/process/args/0", severity: SeverityError, layer: LayerRule, message: "empty"},
		{set: []string{"/process/cwd=rel"}, pointer: "/process/cwd", severity: SeverityError, layer: LayerRule, message: "not absolute"},
		{set: []string{"/process/cwd=/proc/self/fd/7"}, pointer: "/process/cwd", severity: SeverityWarning, layer: LayerRule, message: "CVE-2024-21626"},
		{set: []string{`/process/env=["A"]`}, pointer: "/process/env/0", severity: SeverityError, layer: LayerRule, message: "no equals sign"},
		{set: []string{`/process/env=["=A"]`}, pointer: "/process/env/0", severity: SeverityError, layer: LayerRule, message: "no name"},
		{set: []string{`/process/env=["A=1","A=2"]`}, pointer: "/process/env/1", severity: SeverityWarning, layer: LayerRule, message: "there already"},
		{set: []string{`/process/env=[]`, `/process/args=["sh"]`}, pointer: "/process/env", severity: SeverityError, layer: LayerRule, message: "no PATH"},
		{set: []string{`/process/capabilities/bounding/0=CAP_FROB`}, pointer: "/process/capabilities/bounding/0", severity: SeverityWarning, layer: LayerRule, message: "not a capability"},
		{set: []string{`/process/capabilities/effective=["CAP_SYS_ADMIN"]`}, pointer: "/process/capabilities/effective/0", severity: SeverityError, layer: LayerRule, message: "not permitted"},
		{set: []string{`/process/capabilities/ambient=["CAP_CHOWN"]`}, pointer: "/process/capabilities/ambient/0", severity: SeverityWarning, layer: LayerRule, message: "not inheritable"},
		{set: []string{`/process/capabilities/inheritable=["CAP_CHOWN"]`}, pointer: "/process/capabilities/inheritable", severity: SeverityWarning, layer: LayerRule, message: "CVE-2022-24769"},
		{set: []string{`/process/user/uid=5`}, pointer: "/process/capabilities/effective", severity: SeverityWarning, layer: LayerRule, message: "loses them"},
		{set: []string{`/process/rlimits=[{"type":"RLIMIT_CPU","soft":6,"hard":5}]`}, pointer: "/process/rlimits/0/soft", severity: SeverityError, layer: LayerRule, message: "exceeds the hard one"},
		{set: []string{`/process/rlimits=[{"type":"RLIMIT_CPU","soft":1,"hard":5},{"type":"RLIMIT_CPU","soft":1,"hard":5}]`}, pointer: "/process/rlimits/1/type", severity: SeverityError, layer: LayerRule, message: "twice"},
		{set: []string{`/process/rlimits=[{"type":"RLIMIT_FROB","soft":1,"hard":5}]`}, pointer: "/process/rlimits/0/type", severity: SeverityError, layer: LayerRule, message: "not a limit"},
		{remove: "root", pointer: "/root", severity: SeverityError, layer: LayerRule, message: "no root"},
		{set: []string{`/linux/namespaces/-={"type":"pid"}`, `/linux/namespaces/-={"type":"pid","path":"/x"}`}, pointer: "/linux/namespaces/5/type", severity: SeverityError, layer: LayerRule, message: "twice"},
		{set: []string{`/linux/namespaces=[{"type":"pid"}]`}, pointer: "/linux/namespaces", severity: SeverityError, layer: LayerRule, message: "file system of the host"},
		{set: []string{`/linux/namespaces=[{"type":"mount"}]`, "/hostname=x"}, pointer: "/hostname", severity: SeverityError, layer: LayerRule, message: "uts namespace"},
		{set: []string{`/linux/namespaces=[{"type":"mount"},{"type":"user"}]`}, pointer: "/mounts/5", severity: SeverityError, layer: LayerRule, message: "sysfs shows"},
		{set: []string{`/linux/namespaces/0/path="rel"`}, pointer: "/linux/namespaces/0/path", severity: SeverityError, layer: LayerRule, message: "not absolute"},
		{set: []string{`/mounts/-={"destination":"/dev","type":"tmpfs","source":"tmpfs"}`}, pointer: "/mounts/8/destination", severity: SeverityWarning, layer: LayerRule, message: "mounted over"},
		{set: []string{`/mounts/-={"destination":"/sys/fs","type":"tmpfs","source":"tmpfs"}`}, pointer: "/mounts/8/destination", severity: SeverityWarning, layer: LayerRule, message: "hides /sys/fs/cgroup"},
		{set: []string{`/mounts/-={"destination":"/x","type":"bind","source":"/tmp"}`}, pointer: "/mounts/8/options", severity: SeverityWarning, layer: LayerRule, message: "neither bind"},
		{set: []string{`/mounts/0/options=["hidepid=2"]`}, pointer: "/mounts/0/options", severity: SeverityWarning, layer: LayerRule, message: "lacks nosuid"},
		{set: []string{`/linux/maskedPaths/0=rel`}, pointer: "/linux/maskedPaths/0", severity: SeverityError, layer: LayerRule, message: "not absolute"},
		{set: []string{`/linux/sysctl={"kernel.panic":"1"}`}, pointer: "/linux/sysctl/kernel.panic", severity: SeverityError, layer: LayerRule, message: "of no namespace"},
		{set: []string{`/linux/sysctl={"kernel.hostname":"x"}`}, pointer: "/linux/sysctl/kernel.hostname", severity: SeverityError, layer: LayerRule, message: "conflicts with the hostname"},
		{set: []string{`/linux/sysctl={"net.x":"1"}`, `/linux/namespaces=[{"type":"mount"}]`}, pointer: "/linux/sysctl/net.x", severity: SeverityError, layer: LayerRule, message: "network namespace"},
		{set: []string{`/linux/resources/memory={"limit":5,"swap":4}`}, pointer: "/linux/resources/memory/swap", severity: SeverityError, layer: LayerRule, message: "less than the limit"},
		{set: []string{`/linux/resources/memory={"limit":5,"reservation":6}`}, pointer: "/linux/resources/memory/reservation", severity: SeverityError, layer: LayerRule, message: "exceeds"},
		{set: []string{`/linux/resources/pids/limit=0`}, pointer: "/linux/resources/pids/limit", severity: SeverityWarning, layer: LayerRule, message: "0 means"},
		{set: []string{`/linux/cgroupsPath="a.slice:b:c"`}, pointer: "/linux/cgroupsPath", severity: SeverityWarning, layer: LayerRule, message: "for systemd"},
		{set: []string{`/hooks={"prestart":[{"path":"rel"}]}`}, pointer: "/hooks/prestart/0/path", severity: SeverityError, layer: LayerRule, message: "not absolute"},
		{set: []string{`/linux/uidMappings=[{"containerID":0,"hostID":5,"size":1}]`}, pointer: "/linux/uidMappings", severity: SeverityError, layer: LayerRule, message: "need a user namespace"},
		{set: []string{`/linux/namespaces/-={"type":"user"}`}, pointer: "/linux/uidMappings", severity: SeverityError, layer: LayerRule, message: "needs maps"},
		{set: []string{`/linux/namespaces/-={"type":"user"}`, `/linux/uidMappings=[{"containerID":0,"hostID":5,"size":1}]`, `/linux/gidMappings=[{"containerID":0,"hostID":5,"size":1}]`, "/process/user/uid=7"}, pointer: "/process/user/uid", severity: SeverityError, layer: LayerRule, message: "not mapped"},
		{set: []string{`/linux/namespaces/-={"type":"user"}`, `/linux/uidMappings=[{"containerID":0,"hostID":5,"size":1}]`, `/linux/gidMappings=[{"containerID":0,"hostID":5,"size":1}]`}, pointer: "/mounts/2/options/5", severity: SeverityError, layer: LayerRule, message: "gid=5 is not mapped"},
		{remove: "linux/seccomp", pointer: "/linux/seccomp", severity: SeverityWarning, layer: LayerRule, message: "no seccomp filter"},
		{set: []string{"/process/capabilities/bounding/-=CAP_SYS_ADMIN"}, pointer: "/linux/seccomp", severity: SeverityWarning, layer: LayerRule, message: "other capabilities"},
		{set: []string{`/linux/seccomp/archMap=[]`}, pointer: "/linux/seccomp/archMap", severity: SeverityError, layer: LayerRule, message: "profile of docker"},
		{set: []string{`/linux/devices=[{"path":"/dev/x","type":"c","major":1,"minor":3},{"path":"/dev/x","type":"c","major":1,"minor":3}]`}, pointer: "/linux/devices/1/path", severity: SeverityError, layer: LayerRule, message: "twice"},
		{set: []string{`/annotations/run.oci.handler=x`}, pointer: "/annotations/run.oci.handler", severity: SeverityWarning, layer: LayerRule, message: "steers"},
		{set: []string{`/process/rlimits=[{"type":"RLIMIT_CPU","soft":1,"hard":18446744073709552000}]`}, pointer: "/process/rlimits/0/hard", severity: SeverityError, layer: LayerRule, message: "jq has rounded"},

		{set: []string{`/process/rlimits=[{"type":"RLIMIT_NOFILE","soft":1,"hard":20001}]`}, pointer: "/process/rlimits/0/hard", severity: SeverityError, layer: LayerHost, message: "caller's own hard limit 20000"},
		{set: []string{`/process/capabilities/bounding/-=CAP_SYS_RESOURCE`}, pointer: "/process/capabilities/bounding/11", severity: SeverityError, layer: LayerHost, message: "unable to apply caps"},
		{set: []string{`/mounts/-={"destination":"/x","type":"bind","source":"/no/such","options":["rbind"]}`}, pointer: "/mounts/8/source", severity: SeverityError, layer: LayerHost, message: "does not exist"},
		{set: []string{`/linux/namespaces/0/path="/no/such"`}, pointer: "/linux/namespaces/0/path", severity: SeverityError, layer: LayerHost, message: "does not exist"},
		{set: []string{`/process/apparmorProfile=x`}, pointer: "/process/apparmorProfile", severity: SeverityError, layer: LayerHost, message: "not active"},
		{set: []string{`/process/selinuxLabel=x`}, pointer: "/process/selinuxLabel", severity: SeverityError, layer: LayerHost, message: "not active"},
		{set: []string{`/linux/resources/unified={"a":"b"}`}, pointer: "/linux/resources/unified", severity: SeverityError, layer: LayerHost, message: "cgroup v1"},
		{set: []string{`/linux/cgroupsPath="a.slice:b:c"`}, pointer: "/linux/cgroupsPath", severity: SeverityError, layer: LayerHost, message: "systemd does not run"},
		{set: []string{`/hooks={"prestart":[{"path":"/no/such"}]}`}, pointer: "/hooks/prestart/0/path", severity: SeverityError, layer: LayerHost, message: "cannot be run"},
		{set: []string{`/linux/seccomp/architectures=["SCMP_ARCH_S390X"]`}, pointer: "/linux/seccomp/architectures", severity: SeverityError, layer: LayerHost, message: "this machine is"},
		{set: []string{`/annotations/org.opencontainers.image.architecture=sparc`}, pointer: "/annotations/org.opencontainers.image.architecture", severity: SeverityError, layer: LayerHost, message: "for sparc"},
		{set: []string{`/root/path="/no/such"`}, pointer: "/root/path", severity: SeverityError, layer: LayerHost, message: "no such file"},
		{set: []string{`/process/args=["nosuch"]`}, pointer: "/process/args/0", severity: SeverityError, layer: LayerHost, message: "not in the rootfs"},
		{set: []string{`/process/args=["/app"]`}, pointer: "/process/args/0", severity: SeverityError, layer: LayerHost, message: "is a directory"},
		{set: []string{`/process/cwd=/nosuch`}, pointer: "/process/cwd", severity: SeverityWarning, layer: LayerHost, message: "does not exist: the runtime makes it"},
		{set: []string{`/process/cwd=/nosuch`, "/root/readonly=true"}, pointer: "/process/cwd", severity: SeverityError, layer: LayerHost, message: "read-only"},
	} {
		doc, opt := sound(t)
		res, err := Filter(doc, Input{Host: opt.Host}, Options{EditOptions: EditOptions{Set: tt.set}})
		must(t, err)
		if strings.Contains(tt.message, "came with") {
			res.Document.set(nil, newString("1.0.2"), "ociVersion")
		}
		if tt.remove != "" {
			res.Document.remove(keys(tt.remove)...)
		}
		findings, err := Check(res.Document, opt)
		must(t, err)
		if !slices.ContainsFunc(findings, func(f Finding) bool {
			return f.Pointer == tt.pointer && f.Severity == tt.severity && f.Layer == tt.layer && strings.Contains(f.Message, tt.message)
		}) {
			t.Errorf("with %q%s: no %s of the %s at %s with %q in\n%v", tt.set, tt.remove, tt.severity, tt.layer, tt.pointer, tt.message, findings)
		}
	}
}

func TestCheckWithoutPrivileges(t *testing.T) {
	doc, opt := sound(t)
	opt.Host.EUID, opt.Host.EGID = 1000, 1000
	open(t, doc.RootPath())
	findings, err := Check(doc, opt)
	must(t, err)
	if !slices.ContainsFunc(findings, func(f Finding) bool { return strings.Contains(f.Message, "needs a user namespace") }) {
		t.Errorf("no finding about the user namespace in %v", findings)
	}
	res, err := Filter(doc, Input{Host: opt.Host}, Options{Rootless: ptr(true)})
	must(t, err)
	findings, err = Check(res.Document, opt)
	must(t, err)
	for _, f := range findings {
		t.Errorf("after --rootless: %s", f)
	}
}

func TestCheckFeatures(t *testing.T) {
	features := `{"ociVersionMin":"1.0.0","ociVersionMax":"1.0.2-dev","hooks":["prestart"],"mountOptions":["ro"],"potentiallyUnsafeConfigAnnotations":["com.example."],
		"linux":{"namespaces":["mount"],"capabilities":["CAP_CHOWN"],"seccomp":{"enabled":false},"apparmor":{"enabled":false},"mountExtensions":{"idmap":{"enabled":false}}}}`
	doc, opt := sound(t)
	res, err := Filter(doc, Input{Host: opt.Host}, Options{Hooks: []string{"poststop=/bin/true"}, EditOptions: EditOptions{Set: []string{
		"/ociVersion=1.2.0", "/process/apparmorProfile=x", `/mounts/0/uidMappings=[{"containerID":0,"hostID":1,"size":1}]`,
	}}})
	must(t, err)
	opt.Features = []byte(features)
	findings, err := Check(res.Document, opt)
	must(t, err)
	for _, want := range []string{"/ociVersion", "/hooks/poststop", "/linux/namespaces/0/type", "/process/capabilities/bounding/1", "/linux/seccomp", "/process/apparmorProfile", "/mounts/0/uidMappings", "/mounts/7/options/5", "/annotations/com.example.a"} {
		if !slices.ContainsFunc(findings, func(f Finding) bool { return f.Layer == LayerRuntime && f.Pointer == want }) {
			t.Errorf("no finding of the runtime at %s in %v", want, findings)
		}
	}
	opt.Features = []byte("not json")
	if _, err := Check(doc, opt); err == nil {
		t.Error("Check takes features that are not JSON")
	}
}

// The reader of the embedded schema knows every keyword that is in it.
func TestSchemaKeywords(t *testing.T) {
	known := []string{"$ref", "$schema", "additionalProperties", "allOf", "anyOf", "definitions", "description", "enum", "items", "maximum", "minItems", "minimum", "pattern", "patternProperties", "properties", "required", "type"}
	var walk func(file string, n *node)
	walk = func(file string, n *node) {
		if n.kind == kindObject && (n.member("type") != nil || n.member("$ref") != nil || n.member("properties") != nil) {
			for _, m := range n.members {
				if m.value.kind == kindObject && (m.key == "linux" || m.key == "vm" || m.key == "zos" || m.key == "solaris" || m.key == "windows" || m.key == "freebsd") {
					continue
				}
				if !slices.Contains(known, m.key) {
					t.Errorf("%s: keyword %q is not known to the reader", file, m.key)
				}
			}
		}
		for _, m := range n.members {
			if m.key == "properties" || m.key == "definitions" || m.key == "patternProperties" {
				for _, p := range m.value.members {
					walk(file, p.value)
				}
			} else if m.value.kind == kindObject {
				walk(file, m.value)
			}
		}
		for _, item := range n.items {
			walk(file, item)
		}
	}
	entries, err := schemaFiles.ReadDir("schema")
	must(t, err)
	for _, e := range entries {
		data, err := schemaFiles.ReadFile("schema/" + e.Name())
		must(t, err)
		n, err := parseJSON(data)
		must(t, err)
		walk(e.Name(), n)
	}
}

// oracle compiles the embedded schema with another implementation.
func oracle(t *testing.T) *jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft4)
	entries, err := schemaFiles.ReadDir("schema")
	must(t, err)
	for _, e := range entries {
		data, err := schemaFiles.ReadFile("schema/" + e.Name())
		must(t, err)
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(strings.ReplaceAll(string(data), `"#definitions/`, `"#/definitions/`)))
		must(t, err)
		must(t, compiler.AddResource("mem:///"+e.Name(), doc))
	}
	schema, err := compiler.Compile("mem:///config-schema.json")
	must(t, err)
	return schema
}

// Both implementations say the same of what the generator makes, of what
// others made, and of damaged documents. What the generator makes is valid.
func TestSchemaAgainstAnother(t *testing.T) {
	schema := oracle(t)
	same := func(name string, doc *Document) (valid bool) {
		t.Helper()
		findings, err := checkSchema(doc)
		must(t, err)
		valid = !slices.ContainsFunc(findings, func(f Finding) bool { return f.Severity == SeverityError })
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(doc.Bytes())))
		must(t, err)
		if other := schema.Validate(value); (other == nil) != valid {
			t.Errorf("%s: ours says %v, another %v", name, findings, other)
		}
		return valid
	}
	in := gsInput(t)
	for _, c := range flagCases() {
		if !same(c.name, generate(t, in, c.opt).Document) {
			t.Errorf("%s: the document is not valid", c.name)
		}
	}
	for _, p := range profileNames {
		if !same(p, generate(t, in, Options{Defaults: p}).Document) {
			t.Errorf("%s: the document is not valid", p)
		}
	}
	base := generate(t, in, Options{ResourceOptions: ResourceOptions{Memory: "1m", CPUs: "1"}, ProcessOptions: ProcessOptions{Ulimits: []string{"core=0"}}}).Document
	for _, f := range base.Fields() {
		if strings.HasPrefix(f.Pointer, "/linux/seccomp/syscalls/") && !strings.HasPrefix(f.Pointer, "/linux/seccomp/syscalls/1/") || strings.Contains(f.Pointer, "/names/1") {
			continue
		}
		for _, value := range []string{"-1", "null", `"x"`, "[]", "{}", "1.5", "18446744073709551616"} {
			res, err := Filter(base, Input{Host: in.Host}, Options{EditOptions: EditOptions{Set: []string{f.Pointer + "=" + value}}})
			if err == nil {
				same(f.Pointer+"="+value, res.Document)
			}
		}
	}
	dir := testimage.Shared(t, "reference/configs")
	files, err := filepath.Glob(filepath.Join(dir, "*-*.json"))
	must(t, err)
	for _, file := range files {
		data, err := os.ReadFile(file)
		must(t, err)
		if strings.HasPrefix(filepath.Base(file), "seccomp") || !json.Valid(data) {
			continue
		}
		same(file, parse(t, string(data)))
	}
}
