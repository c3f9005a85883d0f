package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/oci-plumbing/oci-plumbing/internal/testimage"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"oci-unpack": main})
}

func TestScripts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: the scripts own files, and become another user where they say so")
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		Setup:               func(env *testscript.Env) error { return setup(t, env) },
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"tree": cmdTree, "same": cmdSame, "asnobody": cmdAsNobody, "left": cmdLeft},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// setup makes the layout "img", and lets another user reach it and the tool.
func setup(t *testing.T, env *testscript.Env) error {
	writeImages(t, filepath.Join(env.WorkDir, "img"))
	first, _, _ := strings.Cut(env.Getenv("PATH"), ":")
	return testimage.LetNobodyIn(filepath.Join(env.WorkDir, "nobody"), first)
}

// cmdTree checks what is below a directory: "tree DIR PATH...", sorted.
func cmdTree(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 || neg {
		ts.Fatalf("usage: tree DIR PATH...")
	}
	root := ts.MkAbs(args[0])
	var got []string
	ts.Check(filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		name := strings.TrimPrefix(path, root+"/")
		if d.IsDir() {
			name += "/"
		}
		got = append(got, name)
		return nil
	}))
	if g, w := strings.Join(got, " "), strings.Join(args[1:], " "); g != w {
		ts.Fatalf("%s holds %s, want %s", args[0], g, w)
	}
}

// cmdSame checks that two trees are equal in everything that tar keeps.
func cmdSame(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: same DIR DIR")
	}
	var sums [2]string
	for i, dir := range args {
		out, err := exec.Command("tar", "-c", "--sort=name", "--format=posix", "--pax-option=delete=atime,delete=ctime",
			"--numeric-owner", "--xattrs", "--xattrs-include=*", "-C", ts.MkAbs(dir), ".").Output()
		ts.Check(err)
		sums[i] = string(out)
	}
	if (sums[0] == sums[1]) == neg {
		ts.Fatalf("same %s = %v", args, !neg)
	}
}

// cmdLeft checks that no temporary file is left: "left" fails when there is.
func cmdLeft(ts *testscript.TestScript, neg bool, _ []string) {
	found, err := filepath.Glob(ts.MkAbs(".oci-tmp-*"))
	ts.Check(err)
	if (len(found) > 0) == neg {
		ts.Fatalf("temporary files: %v", found)
	}
}

// cmdAsNobody runs a command as an ordinary user, whose home is $WORK/nobody.
func cmdAsNobody(ts *testscript.TestScript, neg bool, args []string) {
	cmd := testimage.AsNobody(filepath.Join(ts.Getenv("WORK"), "nobody"), []string{"PATH=" + ts.Getenv("PATH")}, args...)
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	if err := cmd.Run(); (err != nil) != neg {
		ts.Fatalf("%v: %v", args, err)
	}
}
