package spec

import (
	"archive/tar"
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// differencesFile is the table of what differs from Podman, with the reasons.
const differencesFile = "PODMAN.md"

// captureRuntime stands for a runtime: it keeps the config.json that podman
// wrote, and fails.
const captureRuntime = `#!/bin/sh
verb= bundle= prev=
for a in "$@"; do
  case $prev in --bundle|-b) bundle=$a;; esac
  case $a in create|run|state|features|--version) [ -n "$verb" ] || verb=$a;; esac
  prev=$a
done
case $verb in
  create|run) cp "$bundle/config.json" "$(dirname "$0")/captured.json"; exit 1;;
  state)      echo '{"status":"stopped"}';;
  --version)  echo 'runc version 1.1.5'; echo 'spec: 1.0.2-dev';;
esac
`

// podman runs podman 4.3 on a store of its own, with the image of the fixture.
type podman struct {
	dir  string
	args []string
}

func newPodman(t *testing.T) *podman {
	t.Helper()
	if testing.Short() {
		t.Skip("podman is asked for many files")
	}
	version, err := exec.Command("podman", "--version").Output()
	if err != nil || os.Geteuid() != 0 {
		t.Skip("needs root and podman; install it with: apt-get install podman")
	}
	if !strings.Contains(string(version), " 4.3.") {
		t.Skipf("the table is of podman 4.3, and this is %s", version)
	}
	dir := lingering(t)
	p := &podman{dir: dir, args: []string{
		"--root", dir + "/root", "--runroot", dir + "/run", "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "none",
		"--runtime", dir + "/capture",
	}}
	must(t, os.WriteFile(dir+"/capture", []byte(captureRuntime), 0o755))
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for name, content := range map[string]string{"etc/passwd": gsPasswd, "etc/group": gsGroup, "bin/sh": "x", "app/": "", "data/": "", "srv/": ""} {
		must(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content))}))
		_, err := w.Write([]byte(content))
		must(t, err)
	}
	must(t, w.Close())
	load := exec.Command("podman", append(p.args, "import", "--change", "ENV FOO=bar", "--change", "ENV PATH=/usr/local/bin:/usr/bin:/bin",
		"--change", `ENTRYPOINT ["/bin/sh","-c"]`, "--change", `CMD ["id"]`, "--change", "WORKDIR /app", "--change", "USER alice", "--change", "VOLUME /data",
		"--change", "STOPSIGNAL SIGQUIT", "--change", "LABEL com.example.a=b", "--change", "LABEL org.opencontainers.image.title=gs", "-", "localhost/gs")...)
	load.Stdin = &archive
	if out, err := load.CombinedOutput(); err != nil {
		t.Skipf("podman cannot import an image here: %v: %s", err, out)
	}
	return p
}

// lingering is a directory in which podman's clean-up processes may still
// write when the test ends: it is removed when they are done.
func lingering(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "podman")
	must(t, err)
	t.Cleanup(func() {
		err := os.RemoveAll(dir)
		for range 100 {
			if err == nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
			err = os.RemoveAll(dir)
		}
		t.Errorf("clean up: %v", err)
	})
	return dir
}

var (
	podmanIDs   = regexp.MustCompile(`[0-9a-f]{64}|\b[0-9a-f]{12}\b`)
	podmanTimes = regexp.MustCompile(`"20\d\d-[^"]*Z?"`)
)

// capture is the config.json that podman writes for the flags.
func (p *podman) capture(t *testing.T, flags, command []string) (*Document, error) {
	t.Helper()
	out := filepath.Join(p.dir, "captured.json")
	if err := os.RemoveAll(out); err != nil {
		return nil, err
	}
	args := append(slices.Clone(p.args), "run", "--rm")
	if !slices.Contains(flags, "--network") {
		args = append(args, "--network", "none")
	}
	args = append(append(append(args, flags...), "localhost/gs"), command...)
	cmd := exec.Command("podman", args...)
	cmd.Env = append(os.Environ(), "COPIED=from-host", "COPIED_A=from-host", "COPIED_B=from-host")
	text, _ := cmd.CombinedOutput()
	data, err := os.ReadFile(out)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, text)
	}
	data = bytes.ReplaceAll(data, []byte(p.dir), []byte("<podman>"))
	data = podmanIDs.ReplaceAll(data, []byte("<id>"))
	return Parse(podmanTimes.ReplaceAll(data, []byte(`"<time>"`)))
}

// words splits the name of a flag case as a shell would.
func words(name string) []string {
	var list []string
	var word strings.Builder
	quote, open := rune(0), false
	for _, r := range name + " " {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, open = r, true
		case quote == 0 && r == ' ':
			if open {
				list = append(list, word.String())
			}
			word.Reset()
			open = false
		default:
			word.WriteRune(r)
			open = true
		}
	}
	return list
}

// effect is what the flags change, by pointer: the new value, or what was
// added to and taken from a list.
func effect(base, changed *Document) map[string]string {
	list := make(map[string]string)
	for _, d := range Diff(withoutSeccomp(base), withoutSeccomp(changed)) {
		list[d.Pointer] = orNone(d.New)
		was, err1 := parseJSON([]byte(d.Old))
		is, err2 := parseJSON([]byte(d.New))
		if err1 != nil || err2 != nil || was.kind != kindArray || is.kind != kindArray {
			continue
		}
		var parts []string
		for _, n := range is.items {
			if !slices.ContainsFunc(was.items, n.equal) {
				parts = append(parts, "+"+n.compact())
			}
		}
		for _, n := range was.items {
			if !slices.ContainsFunc(is.items, n.equal) {
				parts = append(parts, "-"+n.compact())
			}
		}
		list[d.Pointer] = strings.Join(parts, " ")
	}
	return list
}

// notPodmans are the cases that podman 4.3 has no like for, and those whose
// value is one of this machine.
func notPodmans(name string) bool {
	for _, word := range []string{
		"--user-groups", "--rdt-class", "--hook", "--set", "--merge", "--patch", "--rootless", "--tz", "--ulimit host", "seccomp=default", "apparmor=lab", "label=",
		"--domainname", "--cgroup-parent", "--cgroup-conf", "--cpu-rt", "devpts", "ns:/run/netns", "--systemd", "--blkio", "--ulimit",
		"--memory-swappiness", "--userns", "--workdir", "--mount type=bind", "--mount 'type=bind", "--volume /h", "systempaths", "keep-groups",
	} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// row is a line of the table.
type row struct{ flags, pointer, podman, ours, why string }

func (r row) key() string { return r.flags + " " + r.pointer }

// TestDifferencesFromPodman compares, for each flag, what it changes in the
// config.json of podman and in ours. The differences are those of the table.
func TestDifferencesFromPodman(t *testing.T) {
	p := newPodman(t)
	in := gsInput(t)
	in.Host = ThisHost()
	in.Host.Getenv, in.Host.Environ = fixedHost().Getenv, fixedHost().Environ
	base, err := p.capture(t, nil, nil)
	must(t, err)
	ours := generate(t, in, Options{}).Document
	found := make(map[string]row)
	add := func(r row) { found[r.key()] = r }
	for _, d := range Diff(withoutSeccomp(base), withoutSeccomp(ours)) {
		add(row{flags: "(none)", pointer: d.Pointer, podman: orNone(d.Old), ours: orNone(d.New)})
	}
	machine := []flagCase{
		{"--privileged --user root", Options{SecurityOptions: SecurityOptions{Privileged: true}, ProcessOptions: ProcessOptions{User: ptr("root")}}},
		{"--device /dev/null:/dev/nothing:r", Options{MountOptions: MountOptions{Devices: []string{"/dev/null:/dev/nothing:r"}}}},
	}
	for _, c := range append(flagCases(), machine...) {
		if notPodmans(c.name) {
			continue
		}
		flags, command := words(c.name), []string(nil)
		if at := slices.Index(flags, "--"); at >= 0 {
			flags, command = flags[:at], flags[at+1:]
		}
		theirs, err := p.capture(t, flags, command)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		made := generate(t, in, c.opt).Document
		a, b := effect(base, theirs), effect(ours, made)
		for pointer := range maps.Keys(merged(a, b)) {
			if a[pointer] != b[pointer] {
				add(row{flags: c.name, pointer: pointer, podman: or(a[pointer], "unchanged"), ours: or(b[pointer], "unchanged")})
			}
		}
	}
	compareTable(t, found)
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func merged(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// compareTable holds the table against what was found. With -update it writes
// the rows, and keeps the reasons.
func compareTable(t *testing.T, found map[string]row) {
	t.Helper()
	text, err := os.ReadFile(differencesFile)
	must(t, err)
	head, _, ok := strings.Cut(string(text), "\n| --- |")
	if !ok {
		t.Fatalf("%s has no table", differencesFile)
	}
	listed := make(map[string]row)
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if len(cells) != 5 || !strings.Contains(line, "`") {
			continue
		}
		for i := range cells {
			cells[i] = strings.Trim(strings.TrimSpace(cells[i]), "`")
		}
		r := row{cells[0], cells[1], cells[2], cells[3], cells[4]}
		listed[r.key()] = r
	}
	if *update {
		var out strings.Builder
		out.WriteString(head + "\n| --- | --- | --- | --- | --- |\n")
		for _, key := range slices.Sorted(maps.Keys(found)) {
			r := found[key]
			why := or(listed[key].why, "?")
			fmt.Fprintf(&out, "| %#q | %#q | %#q | %#q | %s |\n", r.flags, r.pointer, cell(r.podman), cell(r.ours), why)
		}
		must(t, os.WriteFile(differencesFile, []byte(out.String()), 0o644))
		return
	}
	for _, key := range slices.Sorted(maps.Keys(found)) {
		r := found[key]
		switch l, ok := listed[key]; {
		case !ok:
			t.Errorf("%s: %s: podman %s, ours %s: not in %s", r.flags, r.pointer, r.podman, r.ours, differencesFile)
		case l.why == "" || l.why == "?":
			t.Errorf("%s: %s: %s has no reason", r.flags, r.pointer, differencesFile)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(listed)) {
		if _, ok := found[key]; !ok {
			t.Errorf("%s: %s is in %s, and no difference any more", listed[key].flags, listed[key].pointer, differencesFile)
		}
	}
}

// cell shortens a value for the table.
func cell(s string) string {
	s = strings.ReplaceAll(s, "|", "¦")
	if r := []rune(s); len(r) > 70 {
		return string(r[:67]) + "..."
	}
	return s
}
