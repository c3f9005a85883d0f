package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// TestPipes runs testdata/script/*.txtar with the real binaries in PATH. Beside
// testscript's own commands there is
//
//	sh [-status N] [-as nobody] FILE
//
// which runs a shell script and wants it to end with N, 0 if not given.
//
// The pinned runc comes last in PATH. $REGISTRY is the address of an empty registry, $BUSYBOX the layout of a small
// image with the tag busybox, $ID a name for a container that no other test
// uses, $OCI_ROOT a state directory of the script's own, $SCRIPTS this
// repository's scripts.
func TestPipes(t *testing.T) {
	busybox := labImage(t)
	server := httptest.NewServer(registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)

	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			// The scripts of another user must reach their directory.
			for _, dir := range []string{filepath.Dir(env.WorkDir), env.WorkDir} {
				if err := os.Chmod(dir, 0o755); err != nil {
					return err
				}
			}
			env.Vars = append(env.Vars,
				"PATH="+bin+":"+os.Getenv("PATH")+":"+absolute(t, "../build/libexec"),
				"REGISTRY="+strings.TrimPrefix(server.URL, "http://"),
				"BUSYBOX="+busybox,
				"SHARED="+sharedImages(),
				"SCRIPTS="+absolute(t, "../scripts"),
				"BINDIR="+bin,
				"OCI_ROOT="+filepath.Join(env.WorkDir, "state"),
				fmt.Sprintf("ID=pipe-%d-%s", os.Getpid(), strings.ReplaceAll(filepath.Base(env.WorkDir), "_", "-")),
			)
			env.Defer(func() { unmountBelow(t, env.WorkDir) })
			return nil
		},
		Condition: condition,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"sh":              shell,
			"docker-registry": dockerRegistry,
		},
	})
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// sharedImages is the directory of real images, or "" where there is none.
func sharedImages() string {
	dir, err := filepath.Abs("../../shared/images")
	if err != nil {
		return ""
	}
	if _, err := os.Stat(dir); err != nil {
		return ""
	}
	return dir
}

// condition knows "root", "shared" (real images are there) and, as
// "program:NAME", whether a program is installed.
func condition(cond string) (bool, error) {
	switch {
	case cond == "root":
		return os.Geteuid() == 0, nil
	case cond == "shared":
		return sharedImages() != "", nil
	case strings.HasPrefix(cond, "program:"):
		_, err := exec.LookPath(strings.TrimPrefix(cond, "program:"))
		return err == nil, nil
	default:
		return false, fmt.Errorf("unknown condition %q", cond)
	}
}

// shell is the command sh of the scripts. What it prints is there for the
// commands stdout and stderr.
func shell(ts *testscript.TestScript, neg bool, args []string) {
	status, user := 0, ""
	for len(args) > 2 {
		switch args[0] {
		case "-status":
			n, err := strconv.Atoi(args[1])
			ts.Check(err)
			status = n
		case "-as":
			user = args[1]
		default:
			ts.Fatalf("sh: unknown flag %s", args[0])
		}
		args = args[2:]
	}
	if neg || len(args) != 1 {
		ts.Fatalf("usage: sh [-status N] [-as nobody] FILE")
	}

	command := []string{"sh", "-eu", args[0]}
	if user != "" && os.Geteuid() == 0 {
		command = append([]string{"setpriv", "--reuid=" + user, "--regid=nogroup", "--clear-groups", "--"}, command...)
	}
	// A fail-safe: no step of a script takes as long as this.
	command = append([]string{"timeout", "--kill-after=5", "180"}, command...)
	err := ts.Exec(command[0], command[1:]...)
	got := 0
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != status {
		ts.Fatalf("%s ended with %d, want %d", args[0], got, status)
	}
}

// dockerRegistry starts Debian's registry until the script ends, and sets
// $REGISTRY to its address.
func dockerRegistry(ts *testscript.TestScript, _ bool, _ []string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	addr := listener.Addr().String()
	ts.Check(listener.Close())

	config := ts.MkAbs("registry.yml")
	ts.Check(os.WriteFile(config, fmt.Appendf(nil, "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: %s\nhttp:\n  addr: %s\n",
		ts.MkAbs("registry"), addr), 0o644))
	serve := exec.Command("docker-registry", "serve", config)
	ts.Check(serve.Start())
	ts.Defer(func() {
		_ = serve.Process.Signal(unix.SIGTERM)
		_ = serve.Wait()
	})
	ts.Setenv("REGISTRY", addr)
	for range 100 {
		if conn, err := net.Dial("tcp", addr); err == nil {
			_ = conn.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("docker-registry does not listen on %s", addr)
}

// labImage makes the image of the labs where every user can read it.
func labImage(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for parent := dir; parent != os.TempDir() && parent != "/"; parent = filepath.Dir(parent) {
		if err := os.Chmod(parent, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	layout := filepath.Join(dir, "busybox")
	if out, err := exec.CommandContext(t.Context(), "../scripts/lab-image", layout).CombinedOutput(); err != nil {
		t.Fatalf("lab-image: %v\n%s", err, out)
	}
	return layout
}

// unmountBelow undoes the mounts that a failed script left, so that nothing is
// removed through them, and complains: those that passed leave none.
func unmountBelow(t *testing.T, dir string) {
	t.Helper()
	left := mountsBelow(t, dir)
	for _, target := range left {
		t.Errorf("left mounted: %s", target)
		if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", target, err)
		}
	}
}

// mountsBelow lists mount points below dir, the deepest first.
func mountsBelow(t *testing.T, dir string) []string {
	t.Helper()
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var targets []string
	for line := range bytes.Lines(info) {
		if fields := bytes.Fields(line); len(fields) > 4 && strings.HasPrefix(string(fields[4]), dir+"/") {
			targets = append(targets, string(fields[4]))
		}
	}
	slices.Sort(targets)
	slices.Reverse(targets)
	return targets
}
