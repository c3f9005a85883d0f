package spec

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// give makes all of the bundle the user's, and lets all users reach it.
func give(t *testing.T, bundle string, uid int) {
	t.Helper()
	must(t, filepath.WalkDir(bundle, func(name string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(name, uid, uid))
	}))
	open(t, bundle)
}

// open lets all users reach a directory of the test.
func open(t *testing.T, dir string) {
	t.Helper()
	for ; len(dir) > len(os.TempDir()); dir = filepath.Dir(dir) {
		must(t, os.Chmod(dir, 0o755))
	}
}

// Below a user namespace the kernel refuses the file systems of namespaces
// that are not its own, and owners that are not mapped.
func TestRunBelowUserNamespace(t *testing.T) {
	const first = 100000
	mapped := []string{"0:100000:65536"}
	for _, runtime := range runtimes(t) {
		for _, tt := range []struct {
			name   string
			owner  int
			opt    Options
			script string
			want   []string
		}{
			{"pid host", first, Options{NamespaceOptions: NamespaceOptions{PID: "host", UIDMap: mapped}}, "grep ' /proc ' /proc/mounts; ls -d /proc/[0-9]* | wc -l", []string{"proc /proc proc "}},
			{"network host", first, Options{NamespaceOptions: NamespaceOptions{Network: "host", UIDMap: mapped}}, "grep ' /sys ' /proc/mounts; ls /sys/kernel | wc -l", []string{"sysfs /sys sysfs ro,nosuid,nodev,noexec", "\n0\n"}},
			{"ipc host", first, Options{NamespaceOptions: NamespaceOptions{IPC: "host", UIDMap: mapped}}, "readlink /proc/self/ns/ipc", hostNamespaces(t, "ipc")},
			{"all host", first, Options{NamespaceOptions: NamespaceOptions{PID: "host", Network: "host", IPC: "host", UTS: "host", UIDMap: mapped}}, "id -u", []string{"0\n"}},
			{"one id", first, Options{NamespaceOptions: NamespaceOptions{UIDMap: []string{"0:100000:1"}}}, "grep /dev/pts /proc/mounts; cat /proc/self/uid_map", []string{"devpts /dev/pts", "100000          1\n"}},
			{"keep-id of root", 0, Options{NamespaceOptions: NamespaceOptions{Userns: "keep-id"}}, "id -u", []string{"0\n"}},
			{"privileged", first, Options{SecurityOptions: SecurityOptions{Privileged: true}, NamespaceOptions: NamespaceOptions{UIDMap: mapped}}, "head -c 1 /dev/zero | wc -c; grep Seccomp: /proc/self/status", []string{"1\n", "Seccomp:\t0"}},
		} {
			t.Run(filepath.Base(runtime)+"/"+tt.name, func(t *testing.T) {
				bundle := busybox(t)
				give(t, bundle, tt.owner)
				opt := tt.opt
				opt.Entrypoint, opt.Args = ptr(`["/bin/sh"]`), []string{"-c", tt.script}
				opt.ImageVolumes = "ignore"
				writeConfig(t, bundle, opt)
				out, err := runContainer(t, runtime, bundle)
				for _, want := range tt.want {
					if err != nil || !strings.Contains(out, want) {
						t.Errorf("no %q in the output (%v):\n%s", want, err, out)
					}
				}
			})
		}
	}
}

// The check finds what the runtime would fail with, and says what cures it.
func TestCheckOfMountsBelowUserNamespace(t *testing.T) {
	in := gsInput(t)
	for _, kind := range []string{"pid", "network", "ipc"} {
		doc := generate(t, in, Options{NamespaceOptions: NamespaceOptions{UIDMap: []string{"0:100000:65536"}}}).Document
		doc.get("linux", "namespaces").removeItems(func(n *node) bool { return n.member("type").text() == kind })
		refused := func(doc *Document) []string {
			findings, err := Check(doc, CheckOptions{Host: in.Host})
			must(t, err)
			var list []string
			for _, f := range findings {
				if f.Severity == SeverityError {
					list = append(list, f.String())
				}
			}
			return list
		}
		found := refused(doc)
		if len(found) != 1 || !strings.Contains(found[0], "shows the "+kind+" namespace") {
			t.Errorf("without the %s namespace: %q", kind, found)
		}
		opt := map[string]NamespaceOptions{"pid": {PID: "host"}, "network": {Network: "host"}, "ipc": {IPC: "host"}}[kind]
		cured, err := Filter(doc, Input{Host: in.Host}, Options{NamespaceOptions: opt})
		must(t, err)
		if left := refused(cured.Document); len(left) > 0 {
			t.Errorf("--%s host cures not: %q", kind, left)
		}
		in.Host.UserNamespace = true
		doc.get("linux", "namespaces").removeItems(func(n *node) bool { return n.member("type").text() == "user" })
		if found := refused(doc); !slices.ContainsFunc(found, func(f string) bool { return strings.Contains(f, "shows the "+kind+" namespace") }) {
			t.Errorf("in a user namespace, without the %s namespace: %q", kind, found)
		}
		in.Host.UserNamespace = false
	}
}

// Flags that look at the user namespace see the one of the same command line.
func TestFilterWithUserNamespaceIsIdempotent(t *testing.T) {
	in := gsInput(t)
	base := generate(t, in, Options{}).Document
	for name, opt := range map[string]Options{
		"privileged keep-id": {SecurityOptions: SecurityOptions{Privileged: true}, NamespaceOptions: NamespaceOptions{Userns: "keep-id"}, ProcessOptions: ProcessOptions{User: ptr("0")}},
		"privileged ns":      {SecurityOptions: SecurityOptions{Privileged: true}, NamespaceOptions: NamespaceOptions{Userns: "ns:/x"}},
		"device ns":          {MountOptions: MountOptions{Devices: []string{"/dev/zero"}}, NamespaceOptions: NamespaceOptions{Userns: "ns:/x"}},
		"unmask and mask": {
			Rootless: ptr(true), ProcessOptions: ProcessOptions{User: ptr("0:0")}, NamespaceOptions: NamespaceOptions{Network: "host"},
			SecurityOptions: SecurityOptions{SecurityOpt: []string{"unmask=ALL", "mask=/z"}},
		},
	} {
		first, err := Filter(base, Input{Host: in.Host, Rootfs: in.Rootfs}, opt)
		must(t, err)
		second, err := Filter(first.Document, Input{Host: in.Host, Rootfs: in.Rootfs}, opt)
		must(t, err)
		if a, b := first.Document.Bytes(), second.Document.Bytes(); !bytes.Equal(a, b) {
			t.Errorf("%s: the second time changes\n%s", name, cmp.Diff(string(a), string(b)))
		}
		if first.Document.get("linux", "devices") != nil {
			t.Errorf("%s: devices are to be made below a user namespace", name)
		}
	}
}

func TestKeepID(t *testing.T) {
	in := gsInput(t)
	in.Host.EUID, in.Host.EGID, in.Rootless = 1001, 100, true
	opt := Options{NamespaceOptions: NamespaceOptions{Userns: "keep-id"}}
	if _, err := Generate(in, opt); !errors.Is(err, fault.ErrRefused) || !strings.Contains(strings.Join(fault.Hints(err), "\n"), "usermod --add-subuids") {
		t.Errorf("without subordinate ids: %v", err)
	}
	in.Host.Subordinate = func() (uids, gids IDRange) { return IDRange{1, 100000, 65536}, IDRange{1, 200000, 50} }
	doc := generate(t, in, opt).Document
	for _, tt := range []struct{ member, want string }{
		{"uidMappings", `[{"containerID":0,"hostID":101000,"size":1},{"containerID":1,"hostID":100000,"size":1000},{"containerID":1001,"hostID":1001,"size":1},{"containerID":1002,"hostID":101001,"size":64535}]`},
		{"gidMappings", `[{"containerID":0,"hostID":200049,"size":1},{"containerID":1,"hostID":200000,"size":49},{"containerID":100,"hostID":100,"size":1}]`},
	} {
		if got := doc.get("linux", tt.member).compact(); got != tt.want {
			t.Errorf("%s = %s, want %s", tt.member, got, tt.want)
		}
	}
	if got, want := doc.get("process", "user").compact(), `{"uid":1001,"gid":100}`; got != want {
		t.Errorf("the process runs as %s, want %s", got, want)
	}
	findings, err := Check(doc, CheckOptions{Host: in.Host})
	must(t, err)
	if !slices.ContainsFunc(findings, func(f Finding) bool { return strings.Contains(f.Message, "exec.fifo") }) || slices.ContainsFunc(findings, func(f Finding) bool { return strings.Contains(f.Message, "may not map") }) {
		t.Errorf("the check says %v, want what runc fails with", findings)
	}
	first, err := Filter(doc, Input{Host: in.Host}, opt)
	must(t, err)
	second, err := Filter(first.Document, Input{Host: in.Host}, opt)
	must(t, err)
	if d := Diff(first.Document, second.Document); len(d) > 0 {
		t.Errorf("a second filter with the same flag changes %v", d)
	}
	opt.User = ptr("0:0")
	if got, want := generate(t, in, opt).Document.get("process", "user").compact(), `{"uid":0,"gid":0}`; got != want {
		t.Errorf("with --user 0:0 the process runs as %s, want %s", got, want)
	}
}

// A mapped root enters only what is open to it, or whose owners are mapped.
// The runtime agrees.
func TestCheckOfTheWayToTheRootfs(t *testing.T) {
	const first = 100000
	for _, runtime := range runtimes(t) {
		for _, tt := range []struct {
			name   string
			close  func(bundle string) error
			closed string
		}{
			{"open", func(string) error { return nil }, ""},
			{"bundle", func(bundle string) error { return os.Chmod(bundle, 0o700) }, "/"},
			{"bundle without reading", func(bundle string) error { return os.Chmod(bundle, 0o711) }, ""},
			{"mapped owner", func(bundle string) error {
				return errors.Join(os.Chmod(bundle, 0o700), os.Chown(bundle, first+5, first+6))
			}, ""},
			{"mapped root's group", func(bundle string) error { return errors.Join(os.Chown(bundle, 0, first), os.Chmod(bundle, 0o710)) }, ""},
			{"rootfs", func(bundle string) error { return os.Chmod(bundle+"/rootfs", 0o700) }, "/rootfs"},
		} {
			t.Run(filepath.Base(runtime)+"/"+tt.name, func(t *testing.T) {
				bundle := busybox(t)
				give(t, bundle, 0)
				must(t, tt.close(bundle))
				rootfs, err := OpenRootfs(bundle + "/rootfs")
				must(t, err)
				defer rootfs.Close()
				img, err := ParseImage([]byte(`{"config":{"Env":["PATH=/bin"],"Cmd":["true"]}}`))
				must(t, err)
				doc := generate(t, Input{Image: img, Root: "rootfs", Rootfs: rootfs}, Options{NamespaceOptions: NamespaceOptions{UIDMap: []string{"0:100000:65536"}}}).Document
				must(t, os.WriteFile(bundle+"/config.json", doc.Bytes(), 0o644))
				findings, err := Check(doc, CheckOptions{Bundle: bundle})
				must(t, err)
				var errs []string
				for _, f := range findings {
					if f.Severity == SeverityError {
						errs = append(errs, f.String())
					}
				}
				closed := filepath.Clean(bundle + tt.closed)
				if tt.closed == "" && len(errs) > 0 || tt.closed != "" && (len(errs) != 1 || !strings.Contains(errs[0], "may not enter "+closed+":") || !strings.Contains(errs[0], "setfacl -m u:100000:x "+closed)) {
					t.Errorf("the check says %q, want %q closed", errs, tt.closed)
				}
				if out, err := runContainer(t, runtime, bundle); (err != nil) != (tt.closed != "") {
					t.Errorf("%v: %s", err, out)
				}
			})
		}
	}
}
