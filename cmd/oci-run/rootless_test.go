package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// nobody is the ordinary user of the tests.
const nobody = 65534

// ordinary returns a shell script run as an ordinary user, in a directory of
// its own with a bundle of its own.
func ordinary(t *testing.T) (run func(script string) (string, int), bundle string) {
	t.Helper()
	if _, err := exec.LookPath("runc"); err != nil {
		t.Skip("no runc: apt-get install runc")
	}
	if _, err := findBusybox(); err != nil {
		t.Skip(err)
	}
	// t.TempDir lies below a directory that only root may enter.
	dir, err := os.MkdirTemp("", "oci-run-rootless-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	uid, gid := os.Getuid(), os.Getgid()
	attr := &syscall.SysProcAttr{}
	if uid == 0 {
		uid, gid = nobody, nobody
		attr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	bundle = filepath.Join(dir, "bundle")
	if err := makeBundle(bundle); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"bin", "run", "cover"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.ReadFile(binary(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bin", name), program, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("chown", "-hR", itoa(uid)+":"+itoa(gid), dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Chmod(filepath.Join(dir, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	return func(script string) (string, int) {
		cmd := exec.Command("/bin/sh", "-c", script)
		cmd.Dir, cmd.SysProcAttr = bundle, attr
		cmd.Env = []string{"PATH=" + filepath.Join(dir, "bin") + ":" + os.Getenv("PATH"), "XDG_RUNTIME_DIR=" + filepath.Join(dir, "run"), "HOME=" + dir, "TMPDIR=" + dir, "GOCOVERDIR=" + filepath.Join(dir, "cover")}
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}, bundle
}

// makeRootless gives the config a user namespace with one id.
func makeRootless(t *testing.T, bundle string) {
	t.Helper()
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = nobody, nobody
	}
	config := filepath.Join(bundle, "config.json")
	for path, value := range map[string]string{
		"linux.namespaces+": `{"type":"user"}`,
		"linux.uidMappings": `[{"containerID":0,"hostID":` + itoa(uid) + `,"size":1}]`,
		"linux.gidMappings": `[{"containerID":0,"hostID":` + itoa(gid) + `,"size":1}]`,
	} {
		if err := editConfig(config, path, value); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRootless(t *testing.T) {
	run, bundle := ordinary(t)
	if out, code := run("oci-run --runtime runc x -- true"); code != 125 || !strings.Contains(out, "no user namespace") || strings.Count(out, "error:") != 1 {
		t.Errorf("with a config for root: %d %q, want 125 and why", code, out)
	}
	makeRootless(t, bundle)
	if out, code := run("unshare --user true"); code != 0 {
		t.Skipf("this host keeps ordinary users from user namespaces: %s", out)
	}
	for _, c := range []struct {
		script, want string
		code         int
	}{
		{"oci-run -q x -- sh -c 'id -u; exit 4'", "0\n", 4},
		{"oci-run -q x -- nope", "is not in the PATH", 127},
		{"while read l; do oci-run x -- true; echo $l; done <<.\na\nb\n.", "a\nb\n", 0},
		// The program opens its own output again, as who it is.
		{"oci-run x -d -- sh -c 'echo hi >/dev/stdout; exit 3' && oci-run --wait x; echo $?; oci-run --logs x; runc delete x", "x\n3\nhi\n", 0},
		{"oci-run x -d -- sleep 60 && runc list -q && runc exec x echo inside && oci-run --stop --time 100ms x; oci-run --wait x; echo $?; oci-run --delete x", "x\nx\ninside\n137\n", 0},
		{"unset XDG_RUNTIME_DIR; oci-run -q x -- echo no XDG", "no XDG\n", 0},
		{"oci-run --list; runc list -q; ls $XDG_RUNTIME_DIR/oci-plumbing/containers", "BUNDLE\n", 0},
	} {
		if out, code := run(c.script); code != c.code || !strings.HasSuffix(out, c.want) && !strings.Contains(out, "PATH") {
			t.Errorf("%s: %d %q, want %d %q", c.script, code, out, c.code, c.want)
		}
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
