package run

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

func TestCheckID(t *testing.T) {
	for id, ok := range map[string]bool{
		"test": true, "a.b-c_d+e": true, "0": true, "_x": true,
		"": false, ".": false, "..": false, "-x": false, ".x": false, "+x": false,
		"a/b": false, "a b": false, "a\nb": false, "ä": false,
		strings.Repeat("x", 128): true, strings.Repeat("x", 129): false,
	} {
		if err := CheckID(id); (err == nil) != ok {
			t.Errorf("CheckID(%q) = %v, want ok: %v", id, err, ok)
		}
	}
	for range 100 {
		id, err := NewID()
		if err != nil || CheckID(id) != nil {
			t.Fatalf("NewID() = %q, %v, want a good ID", id, err)
		}
	}
}

func TestParseSignal(t *testing.T) {
	for word, want := range map[string]unix.Signal{
		"TERM": unix.SIGTERM, "SIGTERM": unix.SIGTERM, "sigquit": unix.SIGQUIT, "9": unix.SIGKILL,
		"SIGRTMIN": 34, "RTMIN+3": 37, "SIGRTMAX-1": 63, "64": 64,
		"0": 0, "65": 0, "-1": 0, "": 0, "NOPE": 0, "RTMIN-1": 0, "RTMAX+1": 0, "RTMIN+x": 0, "SIGSIGTERM": 0,
	} {
		got, err := ParseSignal(word)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("ParseSignal(%q) = %v, %v, want %v", word, got, err, want)
		}
		if want != 0 {
			if again, err := ParseSignal(signalName(want)); err != nil || again != want {
				t.Errorf("ParseSignal(%q) = %v, %v, want %v", signalName(want), again, err, want)
			}
		}
	}
}

func TestOutcome(t *testing.T) {
	for _, c := range []struct {
		outcome Outcome
		status  int
		text    string
	}{
		{Outcome{}, 0, "exit status 0"},
		{Outcome{Code: 255}, 255, "exit status 255"},
		{Outcome{Signal: 9, OOM: true}, 137, "killed by SIGKILL, out of memory"},
		{Outcome{Unknown: true}, 125, "exit status unknown"},
	} {
		if got := c.outcome.Status(); got != c.status {
			t.Errorf("%+v.Status() = %d, want %d", c.outcome, got, c.status)
		}
		if got := c.outcome.String(); got != c.text {
			t.Errorf("%+v.String() = %q, want %q", c.outcome, got, c.text)
		}
	}
}

// A relative --root is one of the directory in which oci-run was called.
func TestAbsoluteRoot(t *testing.T) {
	t.Chdir("/usr")
	for _, c := range []struct{ args, want, root string }{
		{"", "", ""},
		{"--debug --root ./rr --x", "--debug --root /usr/rr --x", "/usr/rr"},
		{"--root=../rr", "--root=/rr", "/rr"},
		{"--root /a", "--root /a", "/a"},
		{"--root", "--root", ""},
	} {
		before := strings.Fields(c.args)
		args, root, err := absolute(before, "--root")
		if got := strings.Join(args, " "); got != c.want || root != c.root || err != nil {
			t.Errorf("absolute(%s) = %s, %s, %v, want %s, %s", c.args, got, root, err, c.want, c.root)
		}
		if strings.Join(before, " ") != c.args {
			t.Errorf("absolute(%s) has changed its argument to %s", c.args, before)
		}
	}
}

// TestMessages holds the texts that the runtimes were seen to give.
func TestMessages(t *testing.T) {
	for _, c := range []struct {
		text   string
		status int
		says   string
	}{
		// runc 1.1.5
		{`runc create failed: unable to start container process: exec: "nope": executable file not found in $PATH`, 127, `exec: "nope": executable file not found in $PATH`},
		{`runc create failed: unable to start container process: exec: "/nope": stat /nope: no such file or directory`, 127, `stat /nope`},
		{`runc create failed: unable to start container process: exec: "/etc/plain": permission denied`, 126, `permission denied`},
		{`container with given ID already exists`, 125, "exists already"},
		{`runc create failed: unable to start container process: error during container init: error setting rlimit type 7: operation not permitted`, 125, "error setting rlimit type 7"},
		// runc 1.5.2
		{`runc create failed: unable to start container process: error during container init: exec: "nope": executable file not found in $PATH`, 127, `exec: "nope"`},
		{`runc create failed: unable to start container process: error during container init: exec: "/etc": is a directory`, 126, "is a directory"},
		// crun 1.8.1
		{"executable file `nope` not found in $PATH: No such file or directory", 127, "executable file `nope`"},
		{"open executable: Operation not permitted", 126, "open executable"},
		{"open executable: Permission denied", 126, "open executable"},
		{"cgroups in hybrid mode not supported, drop all controllers from cgroupv2", 125, "hybrid mode"},
		{"unknown version specified", 125, "unknown version"},
		{"container `x` already exists", 125, "exists already"},
		// runsc
		{`starting container: starting root container: starting sandbox: error finding executable "echo" in PATH [/bin]: no such file or directory`, 127, `error finding executable "echo"`},
		// What nobody has seen stays as it is.
		{"some\nnew  message", 125, "some new message"},
	} {
		f := &failure{runtime: Runtime{Path: "/bin/runc"}, verb: "create", text: c.text, err: errors.New("exit status 1")}
		err := f.explain()
		var status *fault.Status
		if !errors.As(err, &status) || status.Code != c.status {
			t.Errorf("%q: %v has status %+v, want %d", c.text, err, status, c.status)
		}
		if !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q is told as %q, want %q in one line", c.text, err, c.says)
		}
		if got := RuntimeText(err); got != c.text {
			t.Errorf("RuntimeText = %q, want %q", got, c.text)
		}
	}
}

func TestMessageHints(t *testing.T) {
	for text, want := range map[string]string{
		"setting up network: creating interfaces from net namespace \"/proc/4938/ns/net\": cannot run with network enabled in root network namespace": "--runtime-arg --network=none",
		"crun: cgroups in hybrid mode not supported": "--runtime runc",
	} {
		err := (&failure{runtime: Runtime{Path: "/bin/runsc"}, verb: "start", text: text, err: errors.New("exit status 1")}).explain()
		if hints := strings.Join(fault.Hints(err), "\n"); !strings.Contains(hints, want) {
			t.Errorf("%q has the hints %q, want %q", text, hints, want)
		}
	}
}

func TestSaysMissing(t *testing.T) {
	for text, want := range map[string]bool{
		"container does not exist": true,
		"error opening file `/run/crun/nope/status`: No such file or directory": true,
		"loading container: file does not exist":                                true,
		"permission denied":                                                     false,
	} {
		if got := (&failure{text: text}).saysMissing(); got != want {
			t.Errorf("saysMissing(%q) = %v, want %v", text, got, want)
		}
	}
}

// tempTree is a root file system of links and files: name → target, or content
// when the name ends with a "!".
func tempTree(t *testing.T, links map[string]string) *tree {
	t.Helper()
	root := t.TempDir()
	for name, to := range links {
		path := filepath.Join(root, strings.TrimSuffix(name, "!"))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch {
		case strings.HasSuffix(name, "!"):
			err = os.WriteFile(path, []byte(to), 0o755)
		case strings.HasSuffix(name, "/"):
			err = os.Mkdir(path, 0o755)
		default:
			err = os.Symlink(to, path)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	tr, err := openTree(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() })
	return tr
}

func TestWalk(t *testing.T) {
	tr := tempTree(t, map[string]string{
		"etc/passwd!": "x", "abs": "/etc", "rel": "etc", "up": "../../../../etc", "chain": "abs/passwd",
		"loop": "loop", "a": "b", "b": "a", "out": "/../../etc", "proc/": "", "magic": "/proc/self/fd/3", "dir/sub/": "", "dir/back": "../dir/sub/..",
	})
	for name, want := range map[string]place{
		"/":             {path: "/"},
		"/etc":          {path: "/etc"},
		"//etc/./":      {path: "/etc"},
		"/../../etc":    {path: "/etc"},
		"/abs/passwd":   {path: "/etc/passwd", links: 1},
		"/rel":          {path: "/etc", links: 1},
		"/up":           {path: "/etc", links: 1},
		"/out":          {path: "/etc", links: 1},
		"/chain":        {path: "/etc/passwd", links: 2},
		"/missing/x":    {path: "/missing/x", missing: true},
		"/rel/nope":     {path: "/etc/nope", links: 1, missing: true},
		"/magic":        {path: "/proc/self/fd/3", links: 1, missing: true, throughProc: true},
		"/dir/back/sub": {path: "/dir/sub", links: 1},
	} {
		got, err := tr.walk(name)
		got.stat = unix.Stat_t{}
		if err != nil || got != want {
			t.Errorf("walk(%q) = %+v, %v, want %+v", name, got, err, want)
		}
	}
	for _, name := range []string{"/loop", "/a/x", "/etc/passwd/x"} {
		if got, err := tr.walk(name); err == nil {
			t.Errorf("walk(%q) = %+v, want an error", name, got)
		}
	}
}

func TestInterpreterOf(t *testing.T) {
	exe, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Skip(err)
	}
	if got, err := nativeInterpreter(exe[:4096]); err != nil || !strings.HasPrefix(got, "/lib") {
		t.Errorf("nativeInterpreter(/bin/sh) = %q, %v, want the dynamic loader", got, err)
	}
	static, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := nativeInterpreter(static[:4096]); err != nil || strings.Contains(got, "\x00") {
		t.Errorf("nativeInterpreter(this) = %q, %v", got, err)
	}
	foreign := bytes.Clone(exe[:4096])
	foreign[18], foreign[19] = 8, 0 // MIPS
	for head, want := range map[string]string{
		"#!/bin/sh\n": "/bin/sh", "#! /bin/env  python": "/bin/env", "#!\n": "error", "": "error", "text": "error",
		"\x7fELF": "error", string(foreign): "error",
	} {
		got, err := nativeInterpreter([]byte(head))
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("nativeInterpreter(%.20q) = %q (%v), want %q", head, got, err, want)
		}
	}
}

// FuzzInterpreterOf: the head of a program is an attacker's.
func FuzzInterpreterOf(f *testing.F) {
	if exe, err := os.ReadFile("/bin/sh"); err == nil {
		f.Add(exe[:4096])
	}
	f.Add([]byte("#!/bin/sh\n"))
	f.Fuzz(func(t *testing.T, head []byte) {
		if got, _, err := interpreterOf("x", head, ""); err == nil && len(got) > len(head) {
			t.Errorf("interpreterOf(%q) = %q", head, got)
		}
	})
}

func TestLineCutter(t *testing.T) {
	var got []string
	c := &lineCutter{emit: func(text []byte, partial bool) error {
		got = append(got, map[bool]string{false: "F ", true: "P "}[partial]+string(text))
		return nil
	}}
	long := strings.Repeat("x", maxLogLine)
	for _, piece := range []string{"one\ntw", "o\n\n", long + "y\n", "rest"} {
		if _, err := c.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.flush(); err != nil {
		t.Fatal(err)
	}
	want := []string{"F one", "F two", "F ", "P " + long, "F y", "P rest"}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("lines = %.200q, want %.200q", got, want)
	}
}

func TestNotifyFilter(t *testing.T) {
	n := &notifyProxy{extra: "\nMAINPID=7"}
	for text, want := range map[string]string{
		"READY=1":                    "READY=1\nMAINPID=7",
		"STATUS=up\nMAINPID=1\n":     "STATUS=up",
		"FDSTORE=1\nFDNAME=x":        "",
		"BARRIER=1":                  "",
		"WATCHDOG=1\nERRNO=2\nX_Y=z": "WATCHDOG=1\nERRNO=2\nX_Y=z",
	} {
		if got := n.filter(text); got != want {
			t.Errorf("filter(%q) = %q, want %q", text, got, want)
		}
	}
}

func testStore(t *testing.T) *Store {
	t.Helper()
	s, err := OpenStore(filepath.Join(t.TempDir(), "run"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func testRecord() Record {
	return Record{SchemaVersion: RecordVersion, ID: "x", Created: time.Now()}
}

func TestStoreLife(t *testing.T) {
	s := testStore(t)
	c, err := s.claim(testRecord(), []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.claim(testRecord(), nil); !errors.Is(err, ErrTaken) {
		t.Errorf("a second claim: %v, want ErrTaken", err)
	}
	got, err := s.Load("x")
	if err != nil {
		t.Fatal(err)
	}
	if state, _, err := got.State(); state != StateCreating || err != nil {
		t.Errorf("State = %s, %v, want creating", state, err)
	}
	if c.rec.Process, err = lookProcess(os.Getpid()); err != nil {
		t.Fatal(err)
	}
	if err := c.save(); err != nil {
		t.Fatal(err)
	}
	if got, err = s.Load("x"); err != nil {
		t.Fatal(err)
	}
	if state, _, err := got.State(); state != StateRunning || err != nil || !got.Monitored() {
		t.Errorf("State = %s, %v, want running and monitored", state, err)
	}

	// Who waits learns the outcome, although the directory goes at once.
	watch, err := got.Watch()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.finish(Outcome{Code: 7, OOM: true}); err != nil {
		t.Fatal(err)
	}
	if state, o, err := got.State(); state != StateExited || o.Code != 7 || err != nil {
		t.Errorf("State = %s, %+v, %v, want exited with 7", state, o, err)
	}
	if data, err := os.ReadFile(filepath.Join(s.Dir("x"), exitFile)); string(data) != "7" {
		t.Errorf("exit file = %q, %v, want 7", data, err)
	}
	if err := got.Forget(); err != nil {
		t.Fatal(err)
	}
	if o, err := watch.Wait(); o.Code != 7 || !o.OOM || err != nil {
		t.Errorf("Wait = %+v, %v, want 7 and oom", o, err)
	}
	if _, err := s.Load("x"); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("Load of what was forgotten: %v, want not found", err)
	}
}

// TestStoreMonitorKilled: a lock that nobody holds, and no outcome.
func TestStoreMonitorKilled(t *testing.T) {
	s := testStore(t)
	c, err := s.claim(testRecord(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.status.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := s.Load("x")
	if err != nil {
		t.Fatal(err)
	}
	if state, o, err := got.State(); state != StateUnknown || !o.Unknown || err != nil {
		t.Errorf("State = %s, %+v, %v, want unknown", state, o, err)
	}
	if o, err := got.Wait(); !o.Unknown || o.Status() == 0 || err != nil {
		t.Errorf("Wait = %+v, %v, want unknown", o, err)
	}
}

// TestStoreSweep: what a claim that was killed has left goes, what is under
// way stays.
func TestStoreSweep(t *testing.T) {
	s := testStore(t)
	left := filepath.Join(s.dir, tempPrefix+"dead")
	if err := os.Mkdir(left, 0o700); err != nil {
		t.Fatal(err)
	}
	unlock, err := s.lock(unix.LOCK_SH)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.List(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); err != nil {
		t.Errorf("swept while a claim was under way: %v", err)
	}
	unlock()
	if _, err := s.List(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
}

// TestStoreOthers: a directory that others can write is nobody's store.
func TestStoreOthers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenStore(dir); !errors.Is(err, fault.ErrRefused) {
		t.Errorf("OpenStore of a directory for all: %v, want refused", err)
	}
	if err := errors.Join(os.Remove(filepath.Join(dir, "containers")), os.Remove(dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(t.TempDir(), dir); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenStore(dir); !errors.Is(err, fault.ErrRefused) {
		t.Errorf("OpenStore of a symlink: %v, want refused", err)
	}
}

func TestProcess(t *testing.T) {
	p, err := lookProcess(os.Getpid())
	if err != nil || !p.alive() {
		t.Fatalf("lookProcess(self) = %+v, %v, want alive", p, err)
	}
	other := process{Pid: p.Pid, Start: p.Start + 1}
	if other.alive() {
		t.Error("a process with another start time is alive")
	}
	if err := other.signal(unix.SIGKILL); !errors.Is(err, unix.ESRCH) {
		t.Errorf("signal to a pid that is used again: %v, want ESRCH", err)
	}
	if p.waitGone(10 * time.Millisecond) {
		t.Error("this process is gone")
	}
}

func TestConfigKeepsWhatItDoesNotKnow(t *testing.T) {
	const text = `{"ociVersion":"9.9.9","process":{"args":["a"],"cwd":"/","env":["A=1","B=2"],"new":18446744073709551615},"root":{"path":"rootfs"},
	 "mounts":[{"destination":"/x","type":"bind","source":"rel","options":["bind"],"new":true}],"future":{"a":[1,2]}}`
	c, err := ParseConfig(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if changed, err := c.Changed(); changed != nil || err != nil {
		t.Errorf("Changed = %s, %v before any change", changed, err)
	}
	for _, err := range []error{c.SetEnv("A=3", "C=4"), c.SetTerminal(true), c.SetArgs([]string{"b"}), c.Rebase("/bundle")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	const want = `{"future":{"a":[1,2]},"mounts":[{"destination":"/x","new":true,"options":["bind"],"source":"/bundle/rel","type":"bind"}],"ociVersion":"9.9.9",` +
		`"process":{"args":["b"],"cwd":"/","env":["B=2","A=3","C=4"],"new":18446744073709551615,"terminal":true},"root":{"path":"/bundle/rootfs"}}`
	if got, err := c.Changed(); string(got) != want || err != nil {
		t.Errorf("Changed = %s, %v, want %s", got, err, want)
	}
}

func TestConfigFixHooks(t *testing.T) {
	c, err := ParseConfig(strings.NewReader(`{"process":{"args":["a"],"cwd":"/"},"root":{"path":"/r"},"hooks":{"prestart":[{"path":"/a"},{"path":"/b","env":["X=1"]}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.FixHooks(); err != nil {
		t.Fatal(err)
	}
	hooks := c.Spec.Hooks.Prestart //nolint:staticcheck // deprecated, and still in use
	if len(hooks) != 2 || len(hooks[0].Env) != 1 || hooks[0].Env[0] != hookPath || hooks[1].Env[0] != "X=1" {
		t.Errorf("hooks = %+v, want an environment in each", hooks)
	}
}

func TestConfigRefuses(t *testing.T) {
	for _, text := range []string{
		"", "{", "[]", "{} {}", "{}", `{"process":{"args":[],"cwd":"/"},"root":{"path":"x"}}`,
		`{"process":{"args":["x"],"cwd":"x"},"root":{"path":"x"}}`, `{"process":{"args":["x"],"cwd":"/"}}`,
		"{\"process\":{\"args\":[\"x\\u0000y\"],\"cwd\":\"/\"},\"root\":{\"path\":\"x\"}}",
		strings.Repeat(" ", maxConfig+1),
	} {
		if _, err := ParseConfig(strings.NewReader(text)); !errors.Is(err, fault.ErrRefused) {
			t.Errorf("ParseConfig(%.60q): %v, want refused", text, err)
		}
	}
}

// TestLogWriterFull: a log that cannot be written does not stall the program.
func TestLogWriterFull(t *testing.T) {
	w, err := openLogWriter(LogPlan{Target: "/dev/full", Format: LogCRI})
	if err != nil {
		t.Skip(err)
	}
	defer w.close()
	in := strings.NewReader(strings.Repeat("line\n", 1<<16))
	w.copy("stdout", in)
	if in.Len() != 0 {
		t.Errorf("%d bytes were not read", in.Len())
	}
}

func TestLocateCgroup(t *testing.T) {
	mounts := []cgroupMount{
		{point: "/sys/fs/cgroup/cpu,cpuacct", root: "/", controllers: []string{"rw", "cpu", "cpuacct"}},
		{point: "/sys/fs/cgroup/memory", root: "/docker/1", controllers: []string{"rw", "memory"}},
		{point: "/sys/fs/cgroup/unified", root: "/"},
	}
	for _, c := range [][3]string{
		{"cpu,cpuacct", "/a/b", "/sys/fs/cgroup/cpu,cpuacct/a/b"},
		{"memory", "/docker/1/x", "/sys/fs/cgroup/memory/x"},
		{"memory", "/elsewhere", ""},
		{"", "/u", "/sys/fs/cgroup/unified/u"},
		{"pids", "/", ""},
	} {
		if got := locate(mounts, c[0], c[1]); got != c[2] {
			t.Errorf("locate(%q, %q) = %q, want %q", c[0], c[1], got, c[2])
		}
	}
}

// TestSuperviseAlone: what goes wrong in a process without stderr is told.
func TestSuperviseAlone(t *testing.T) {
	plan := Plan{RunRoot: filepath.Join(t.TempDir(), "run"), Record: testRecord()}
	open := func() (Streams, func(), error) { panic("out of order") }
	if err := superviseAlone(plan, open, Events{}); err == nil || !strings.Contains(err.Error(), "out of order") {
		t.Errorf("superviseAlone = %v, want the words of the panic", err)
	}
}

// TestStoreSuccessor: what was loaded before another got the ID removes
// nothing of that.
func TestStoreSuccessor(t *testing.T) {
	s := testStore(t)
	first, err := s.claim(testRecord(), nil)
	if err != nil {
		t.Fatal(err)
	}
	stale, err := s.Load("x")
	if err != nil {
		t.Fatal(err)
	}
	if err := first.vanish(); err != nil {
		t.Fatal(err)
	}
	second, err := s.claim(testRecord(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer second.status.Close()
	if err := stale.Destroy(t.Context()); err != nil {
		t.Error(err)
	}
	if got, err := s.Load("x"); err != nil || !got.Created.Equal(second.rec.Created) {
		t.Errorf("Load = %+v, %v, want the successor", got, err)
	}
}

// TestDropped: a blocked signal is kept for sigwait(3).
func TestDropped(t *testing.T) {
	for _, c := range []struct {
		how     string
		dropped bool
	}{{"--default-signal=TERM", true}, {"--block-signal=TERM", false}} {
		cmd := exec.Command("env", "--default-signal=TERM", c.how, "sleep", "60")
		if err := cmd.Start(); err != nil {
			t.Skip(err)
		}
		f := forwarder{supervisor: &supervisor{rec: &Record{Process: process{Pid: cmd.Process.Pid}}}}
		ran := func() bool {
			exe, err := os.Readlink(procPath(cmd.Process.Pid, "exe"))
			return err == nil && filepath.Base(exe) == "sleep"
		}
		for deadline := time.Now().Add(5 * time.Second); !ran() && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		if !ran() {
			t.Skip("no env --block-signal (coreutils 8.31), or no sleep")
		}
		if got := f.dropped(unix.SIGTERM); got != c.dropped {
			t.Errorf("%s: dropped = %v, want %v", c.how, got, c.dropped)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait()
	}
}

// TestRotation: who follows a log reads each line once, however the names move.
func TestRotation(t *testing.T) {
	const lines = 5000
	plan := LogPlan{Target: filepath.Join(t.TempDir(), "log"), Format: LogCRI, MaxSize: 4000, MaxFiles: 100}
	w, err := openLogWriter(plan)
	if err != nil {
		t.Fatal(err)
	}
	s := testStore(t)
	rec := testRecord()
	rec.Log, rec.LogFiles = plan.Target, plan.MaxFiles
	c, err := s.claim(rec, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Load("x")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for i := range lines {
			_ = w.line("stdout", []byte(strconv.Itoa(i)), false)
		}
		w.close()
		_ = c.finish(Outcome{})
	}()
	var out bytes.Buffer
	if err := got.Logs(t.Context(), &out, true); err != nil {
		t.Fatal(err)
	}
	i := 0
	for line := range strings.Lines(out.String()) {
		if !strings.HasSuffix(line, " F "+strconv.Itoa(i)+"\n") {
			t.Fatalf("line %d is %q", i, line)
		}
		i++
	}
	if i != lines {
		t.Errorf("%d lines, want %d", i, lines)
	}
}
