package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){name: main, "notify": notify})
}

// TestScripts runs the same scripts on every runtime that is here.
func TestScripts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root; TestRootless covers ordinary users")
	}
	for _, rt := range runtimes(t) {
		t.Run(rt.name, func(t *testing.T) {
			testscript.Run(t, testscript.Params{
				Dir:       "testdata/script",
				Setup:     func(env *testscript.Env) error { return rt.setup(t, env) },
				Condition: rt.condition,
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"bundle": bundleCommand,
					"config": configCommand,
					"status": statusCommand,
					"until":  untilCommand,
				},
			})
		})
	}
}

var scriptCount atomic.Int64

// setup gives a script its runtime and a prefix for IDs, which are in the
// runtime's own state directory, where others may be at work.
func (rt testRuntime) setup(t *testing.T, env *testscript.Env) error {
	id := fmt.Sprintf("t%d-%d", os.Getpid(), scriptCount.Add(1))
	env.Setenv("ID", id)
	env.Setenv("OCI_RUNTIME", rt.path)
	env.Setenv("RUNTIME", rt.name)
	env.Setenv("TERM", "dumb")
	t.Cleanup(func() { sweep(t, id) })
	return nil
}

// sweep deletes what a failed script has left.
func sweep(t *testing.T, prefix string) {
	dirs, err := filepath.Glob("/run/oci-plumbing/containers/" + prefix + "*")
	if err != nil {
		t.Error(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Error(err)
	}
	for _, dir := range dirs {
		cmd := &exec.Cmd{Path: exe, Args: []string{name, "--delete", filepath.Base(dir)}}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("left behind: %s: %v: %s", dir, err, out)
		}
	}
}

func (rt testRuntime) condition(cond string) (bool, error) {
	switch cond {
	case "runc":
		return strings.HasPrefix(rt.name, "runc"), nil
	case "crun", "runsc":
		return rt.name == cond, nil
	case "journal":
		_, err := os.Stat("/run/systemd/journal/stdout")
		return err == nil, nil
	}
	return false, fmt.Errorf("unknown condition %q", cond)
}

// bundleCommand makes a bundle with busybox in it: bundle DIR.
func bundleCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: bundle DIR")
	}
	ts.Check(makeBundle(ts.MkAbs(args[0])))
}

// configCommand sets a member of a config.json: config FILE A.B.C JSON; an
// empty JSON deletes it.
func configCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: config FILE A.B.C JSON")
	}
	ts.Check(editConfig(ts.MkAbs(args[0]), args[1], os.Expand(args[2], ts.Getenv)))
}

// statusCommand runs a command that ends with just this exit status: status N
// CMD ARG...
func statusCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N CMD ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// untilCommand repeats a command until it succeeds: until CMD ARG...
func untilCommand(ts *testscript.TestScript, neg bool, args []string) {
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := ts.Exec(args[0], args[1:]...)
		if (err == nil) != neg {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("still not after 30 s: %v", args)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
