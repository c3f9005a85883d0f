package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/spec/cdi"
)

// To apply the same flags a second time changes nothing.
func TestFilterIsIdempotent(t *testing.T) {
	in := gsInput(t)
	base := generate(t, in, Options{}).Document.Bytes()
	for _, c := range flagCases() {
		if once[c.name] {
			continue
		}
		in := Input{Host: in.Host, Rootfs: in.Rootfs}
		first, err := Filter(parse(t, string(base)), in, c.opt)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		second, err := Filter(parse(t, string(first.Document.Bytes())), in, c.opt)
		if err != nil {
			t.Errorf("%s, again: %v", c.name, err)
			continue
		}
		if a, b := first.Document.Bytes(), second.Document.Bytes(); !bytes.Equal(a, b) {
			t.Errorf("%s: the second time changes\n%s", c.name, cmp.Diff(string(a), string(b)))
		}
	}
}

// Generator and filter mean the same by a flag.
func TestFilterEqualsGenerator(t *testing.T) {
	in := gsInput(t)
	base := generate(t, in, Options{}).Document.Bytes()
	differ := map[string]bool{
		// A filter has no image to take the entrypoint from.
		"-- echo hi": true, `--entrypoint "" -- a`: true,
		// The default PATH is added after the variables of the image went.
		"--unsetenv-all": true,
	}
	for _, c := range flagCases() {
		if differ[c.name] {
			continue
		}
		made := generate(t, in, c.opt).Document
		filtered, err := Filter(parse(t, string(base)), Input{Host: in.Host, Rootfs: in.Rootfs}, c.opt)
		must(t, err)
		for _, d := range Diff(made, filtered.Document) {
			t.Errorf("%s: %s: the generator writes %s, the filter %s", c.name, d.Pointer, orNone(d.Old), orNone(d.New))
		}
	}
}

func TestFilterTouchesNothingElse(t *testing.T) {
	const text = `{
  "x-unknown": {
    "b": 18446744073709551615,
    "a": "\u003c"
  },
  "process": {
    "x": false,
    "env": [
      "A=1",
      "A=2"
    ],
    "cwd": "rel"
  },
  "ociVersion": "1.0.0"
}
`
	res, err := Filter(parse(t, text), Input{Host: fixedHost()}, Options{NamespaceOptions: NamespaceOptions{}, EditOptions: EditOptions{Set: []string{"/hostname=lab"}}})
	must(t, err)
	want := strings.Replace(text, `  "ociVersion": "1.0.0"`, `  "ociVersion": "1.0.0",`+"\n"+`  "hostname": "lab"`, 1)
	want = strings.Replace(want, "  },\n  \"ociVersion\": \"1.0.0\",\n  \"hostname\": \"lab\"\n", "  },\n  \"hostname\": \"lab\",\n  \"ociVersion\": \"1.0.0\"\n", 1)
	if got := string(res.Document.Bytes()); got != want && got != strings.Replace(want, "  \"hostname\": \"lab\",\n  \"ociVersion\": \"1.0.0\"\n", "  \"ociVersion\": \"1.0.0\",\n  \"hostname\": \"lab\"\n", 1) {
		t.Errorf("the filter changed more:\n%s", cmp.Diff(want, got))
	}
}

func TestOptionsRefused(t *testing.T) {
	in := gsInput(t)
	for _, tt := range []struct {
		opt  Options
		want string
	}{
		{Options{Defaults: "nosuch"}, "unknown defaults"},
		{Options{Annotations: []string{"x"}}, "not KEY=VALUE"},
		{Options{Annotations: []string{"\xff=1"}}, "key in /annotations/ \"\\xff\": not UTF-8"},
		{Options{StopSignal: "FOO"}, "no signal"},
		{Options{StopSignal: "0"}, "no signal"},
		{Options{StopSignal: "65"}, "no signal"},
		{Options{StopSignal: "RTMIN+40"}, "no signal"},
		{Options{Hooks: []string{"never=/x"}}, "not STAGE="},
		{Options{ProcessOptions: ProcessOptions{Entrypoint: ptr("[1]")}}, "array of strings"},
		{Options{ProcessOptions: ProcessOptions{Entrypoint: ptr("")}}, "there is no command"},
		{Options{ProcessOptions: ProcessOptions{Args: []string{"a\x00b"}}}, "NUL"},
		{Options{ProcessOptions: ProcessOptions{Args: []string{"a\xff"}}}, "UTF-8"},
		{Options{ProcessOptions: ProcessOptions{Env: []string{"=x"}}}, "no name"},
		{Options{ProcessOptions: ProcessOptions{WorkDir: "/proc/self/fd/7"}}, "CVE-2024-21626"},
		{Options{ProcessOptions: ProcessOptions{WorkDir: "/" + strings.Repeat("w", 256)}}, "longer than 255"},
		{Options{ProcessOptions: ProcessOptions{Umask: "999"}}, "octal"},
		{Options{ProcessOptions: ProcessOptions{Ulimits: []string{"nofile=20001"}}}, "exceeds the caller's 20000"},
		{Options{ProcessOptions: ProcessOptions{Ulimits: []string{"nofile=2:1"}}}, "exceeds the hard one"},
		{Options{ProcessOptions: ProcessOptions{Ulimits: []string{"nosuch=1"}}}, "is not NAME="},
		{Options{ProcessOptions: ProcessOptions{OOMScoreAdj: ptr(1001)}}, "outside -1000"},
		{Options{ProcessOptions: ProcessOptions{Personality: "BSD"}}, "neither LINUX"},
		{Options{ProcessOptions: ProcessOptions{UserGroups: "x"}}, "neither spec nor docker"},
		{Options{SecurityOptions: SecurityOptions{CapAdd: []string{"NOSUCH"}}}, "unknown capability"},
		{Options{SecurityOptions: SecurityOptions{CapAdd: []string{"ALL"}, CapDrop: []string{"all"}}}, "exclude each other"},
		{Options{SecurityOptions: SecurityOptions{CapAdd: []string{"chown"}, CapDrop: []string{"KILL,CHOWN"}}}, "exclude each other"},
		{Options{SecurityOptions: SecurityOptions{SecurityOpt: []string{"x=y"}}}, "unknown --security-opt"},
		{Options{SecurityOptions: SecurityOptions{SecurityOpt: []string{"mask=rel"}}}, "not absolute"},
		{Options{SecurityOptions: SecurityOptions{SecurityOpt: []string{"seccomp=/no/such"}}}, "no such file"},
		{Options{NamespaceOptions: NamespaceOptions{Network: "bridge"}}, "networks by name are an engine's"},
		{Options{NamespaceOptions: NamespaceOptions{PID: "container:x"}}, "containers by name"},
		{Options{NamespaceOptions: NamespaceOptions{PID: "ns:rel"}}, "neither host nor private"},
		{Options{NamespaceOptions: NamespaceOptions{UTS: "host", Hostname: "x"}}, "needs a UTS namespace"},
		{Options{NamespaceOptions: NamespaceOptions{Network: "host", Sysctl: []string{"net.core.somaxconn=1"}}}, "needs a network namespace"},
		{Options{NamespaceOptions: NamespaceOptions{Sysctl: []string{"kernel.panic=1"}}}, "is not of a namespace"},
		{Options{NamespaceOptions: NamespaceOptions{Sysctl: []string{"kernel/hostname=x"}}}, "conflicts with the hostname"},
		{Options{NamespaceOptions: NamespaceOptions{Sysctl: []string{"net.\xff=1"}}}, "not UTF-8"},
		{Options{NamespaceOptions: NamespaceOptions{Userns: "private"}}, "needs maps"},
		{Options{NamespaceOptions: NamespaceOptions{UIDMap: []string{"0:0:4294967295", "1:1:1"}}}, "overlap"},
		{Options{NamespaceOptions: NamespaceOptions{IPC: "host"}, MountOptions: MountOptions{ShmSize: "10m"}}, "/dev/shm is the host's"},
		{Options{MountOptions: MountOptions{Volumes: []string{"name:/m"}}}, "named and anonymous volumes"},
		{Options{MountOptions: MountOptions{Volumes: []string{"/a:/b:frob"}}}, "unknown option"},
		{Options{MountOptions: MountOptions{Volumes: []string{"/a:/"}}}, "the root itself"},
		{Options{MountOptions: MountOptions{Volumes: []string{"/a:/b:ro,rw"}}}, "ro and rw exclude each other"},
		{Options{MountOptions: MountOptions{Volumes: []string{"/a:/b:rslave,private"}}}, "private and rslave exclude each other"},
		{Options{MountOptions: MountOptions{Tmpfs: []string{"/t:foo"}}}, "unknown option \"foo\""},
		{Options{MountOptions: MountOptions{Tmpfs: []string{"/t:siz=1m"}}}, "unknown option \"siz=1m\""},
		{Options{MountOptions: MountOptions{Tmpfs: []string{"/t:exec,noexec"}}}, "exclude each other"},
		{Options{MountOptions: MountOptions{Mounts: []string{`type=bind,src="/a",dst=/b`}}}, "bare"},
		{Options{MountOptions: MountOptions{Mounts: []string{"type=volume,dst=/x"}}}, "an engine's"},
		{Options{MountOptions: MountOptions{Mounts: []string{"type=bind,dst=/x"}}}, "no source"},
		{Options{MountOptions: MountOptions{Tmpfs: []string{"rel"}}}, "not an absolute path"},
		{Options{MountOptions: MountOptions{ImageVolumes: "frob"}}, "none of tmpfs-copyup"},
		{Options{MountOptions: MountOptions{ImageVolumes: "error"}}, "the image has volumes: /data"},
		{Options{MountOptions: MountOptions{Devices: []string{"/dev/nosuch"}}}, "no such device"},
		{Options{MountOptions: MountOptions{Devices: []string{"/dev/null:x:y:z"}}}, "is not PATH"},
		{Options{MountOptions: MountOptions{Devices: []string{"vendor.example/class=name"}, CDI: func(d string) (*specs.Spec, map[string]string, error) { return cdi.Edits([]string{"/no/such"}, d) }}}, "unresolvable CDI"},
		{Options{MountOptions: MountOptions{DeviceRules: []string{"x"}}}, "is not \"TYPE"},
		{Options{MountOptions: MountOptions{TZ: "../../etc/shadow"}}, "not the name of a zone"},
		{Options{ResourceOptions: ResourceOptions{Memory: "lots"}}, "not a size"},
		{Options{ResourceOptions: ResourceOptions{Memory: "9999999p"}}, "greater than"},
		{Options{ResourceOptions: ResourceOptions{Memory: "2m", MemorySwap: "1m"}}, "less than the memory limit"},
		{Options{ResourceOptions: ResourceOptions{MemorySwap: "1m"}}, "needs --memory"},
		{Options{ResourceOptions: ResourceOptions{CPUs: "x"}}, "not a number of processors"},
		{Options{ResourceOptions: ResourceOptions{CPUs: "0b11"}}, "not a number of processors"},
		{Options{ResourceOptions: ResourceOptions{CPUs: "1p4"}}, "not a number of processors"},
		{Options{ResourceOptions: ResourceOptions{CPUs: "-1"}}, "not a number of processors"},
		{Options{ResourceOptions: ResourceOptions{Memory: "0b11m"}}, "not a size"},
		{Options{ResourceOptions: ResourceOptions{CpusetCPUs: "0-"}}, "not a list"},
		{Options{ResourceOptions: ResourceOptions{CpusetMems: "3-1"}}, "not a list"},
		{Options{ResourceOptions: ResourceOptions{CPUs: "1", CPUQuota: ptr(int64(1))}}, "exclude each other"},
		{Options{ResourceOptions: ResourceOptions{PidsLimit: ptr(int64(-2))}}, "neither -1"},
		{Options{ResourceOptions: ResourceOptions{BlkioWeight: ptr(5)}}, "outside 10"},
		{Options{ResourceOptions: ResourceOptions{DeviceReadBps: []string{"/dev/null:1m"}}}, "not a block device"},
		{Options{EditOptions: EditOptions{Set: []string{"/\xff=1"}}}, "key in / \"\\xff\": not UTF-8"},
		{Options{EditOptions: EditOptions{Set: []string{"/\xff/a={}"}}}, "key in / \"\\xff\": not UTF-8"},
		{Options{EditOptions: EditOptions{Merges: [][]byte{[]byte(`{"annotations":{"a\u0000":"b"}}`)}}}, "key in /annotations/ \"a\\x00\" contains a NUL byte"},
		{Options{EditOptions: EditOptions{Set: []string{"noslash=1"}}}, "not /POINTER=VALUE"},
		{Options{EditOptions: EditOptions{Set: []string{"/process/args/9=x"}}}, "no element"},
		{Options{EditOptions: EditOptions{Merges: [][]byte{[]byte("5")}}}, "not an object"},
		{Options{Rootless: ptr(true)}, "not mapped without privileges"},
	} {
		_, err := Generate(in, tt.opt)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Generate = %v, want an error with %q", err, tt.want)
		}
	}
	if _, err := Filter(parse(t, `{}`), Input{Host: in.Host}, Options{Defaults: "runc"}); !errors.Is(err, fault.ErrUsage) {
		t.Errorf("Filter with defaults = %v, want a usage error", err)
	}
}

func FuzzFilter(f *testing.F) {
	in := gsInput(f)
	f.Add(generate(f, in, Options{Defaults: "minimal"}).Document.Bytes(), uint8(0))
	f.Add([]byte(`{"process":[],"linux":{"namespaces":{}},"mounts":[1,{"options":"x"}]}`), uint8(5))
	cases := flagCases()
	f.Fuzz(func(t *testing.T, data []byte, which uint8) {
		doc, err := Parse(data)
		if err != nil {
			return
		}
		c := cases[int(which)%len(cases)]
		in := Input{Host: fixedHost(), Rootfs: in.Rootfs}
		first, err := Filter(doc, in, c.opt)
		if err != nil || once[c.name] {
			return
		}
		out := first.Document.Bytes()
		second, err := Filter(parse(t, string(out)), in, c.opt)
		if err != nil {
			t.Fatalf("%s: works once, then: %v", c.name, err)
		}
		if !bytes.Equal(out, second.Document.Bytes()) {
			t.Fatalf("%s: the second time changes\n%s", c.name, cmp.Diff(string(out), string(second.Document.Bytes())))
		}
		if _, err := Check(first.Document, CheckOptions{Host: in.Host}); err != nil {
			t.Fatalf("Check = %v", err)
		}
	})
}

// damage replaces random values of the document by random others.
func damage(r *rand.Rand, d *Document) {
	var all []*node
	var collect func(*node)
	collect = func(n *node) {
		all = append(all, n)
		for _, item := range n.items {
			collect(item)
		}
		for _, m := range n.members {
			collect(m.value)
		}
	}
	for range 1 + r.IntN(6) {
		all = all[:0]
		collect(d.root)
		n := all[1+r.IntN(len(all)-1)]
		data, err := json.Marshal(randomJSON(r, 2))
		if err != nil {
			continue
		}
		if other, err := parseJSON(data); err == nil {
			*n = *other
		}
	}
}

// No document, however odd, brings the filter or the check down, and a filter
// that works changes nothing the second time.
func TestFilterOfDamagedDocuments(t *testing.T) {
	in := gsInput(t)
	base := generate(t, in, Options{
		SecurityOptions: SecurityOptions{SecurityOpt: []string{"seccomp=unconfined"}},
		ResourceOptions: ResourceOptions{Memory: "1m", CPUs: "1"}, ProcessOptions: ProcessOptions{Ulimits: []string{"core=0"}},
		Hooks: []string{"prestart=/bin/true"}, NamespaceOptions: NamespaceOptions{UIDMap: []string{"0:1:1"}},
	}).Document
	cases := flagCases()
	for seed := range uint64(4000) {
		r := rand.New(rand.NewPCG(seed, 3))
		doc := base.Clone()
		damage(r, doc)
		c := cases[r.IntN(len(cases))]
		filterIn := Input{Host: in.Host, Rootfs: in.Rootfs}
		before := doc.Bytes()
		if _, err := Check(doc, CheckOptions{Host: in.Host, NoSchema: seed%20 != 0}); err != nil {
			t.Fatalf("seed %d: Check = %v", seed, err)
		}
		first, err := Filter(doc, filterIn, c.opt)
		if err != nil {
			continue
		}
		if !bytes.Equal(before, doc.Bytes()) {
			t.Fatalf("seed %d: %s: Filter changed its input", seed, c.name)
		}
		out := first.Document.Bytes()
		again, err := Parse(out)
		if err != nil {
			t.Fatalf("seed %d: %s: what the filter wrote: %v", seed, c.name, err)
		}
		if once[c.name] {
			continue
		}
		second, err := Filter(again, filterIn, c.opt)
		if err != nil {
			t.Errorf("seed %d: %s: works once, then: %v\n%s", seed, c.name, err, before)
			continue
		}
		if !bytes.Equal(out, second.Document.Bytes()) {
			t.Errorf("seed %d: %s: the second time changes\n%s", seed, c.name, cmp.Diff(string(out), string(second.Document.Bytes())))
		}
	}
}
