package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// operation is a run of one of the tools that may be struck.
type operation struct {
	name string
	// prepare makes what the operation starts from, in an empty directory.
	prepare func(e *env) error
	// argv is what is struck.
	argv func(e *env) []string
	// check tells what must hold afterwards, whatever happened; done says
	// that the tool ended with status 0.
	check func(e *env, done bool) error
	// tidy undoes what a finished operation has made; may be nil.
	tidy func(e *env) error
}

// env is where one point is tried.
type env struct {
	bin, image, dir string
}

func (e *env) tool(name string) string { return filepath.Join(e.bin, name) }
func (e *env) path(parts ...string) string {
	return filepath.Join(append([]string{e.dir}, parts...)...)
}

// do runs a command without faults.
func (e *env) do(argv ...string) error {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = e.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, out)
	}
	return nil
}

// shared makes a layout that holds two tags already.
func shared(e *env) error {
	return errors.Join(
		e.do(e.tool("oci-copy"), "-q", "oci:"+e.image+":lab", "oci:shared:old"),
		e.do(e.tool("oci-copy"), "-q", "oci:"+e.image+":lab", "oci:shared:older"))
}

// sharedHolds checks the layout of shared.
func sharedHolds(e *env, done bool) error {
	tags := []string{"old", "older"}
	if done {
		tags = append(tags, "new")
	}
	return verifyLayout(e.path("shared"), tags, done)
}

// wholeOrAbsent checks a bundle: all of it or nothing.
func wholeOrAbsent(e *env, done bool) error {
	_, err := os.Lstat(e.path("b"))
	if errors.Is(err, os.ErrNotExist) && !done {
		return nil
	}
	if err != nil {
		return err
	}
	var state struct {
		Manifest descriptor `json:"manifest"`
	}
	if err := readJSON(e.path("b", "oci-bundle.json"), &state); err != nil {
		return fmt.Errorf("half a bundle: %w", err)
	}
	if state.Manifest.Digest == "" {
		return errors.New("half a bundle: oci-bundle.json names no manifest")
	}
	return nil
}

var operations = []operation{
	{
		name:    "copy",
		prepare: shared,
		argv: func(e *env) []string {
			return []string{e.tool("oci-copy"), "-q", "oci:" + e.image + ":layers", "oci:shared:new"}
		},
		check: sharedHolds,
	},
	{
		name:    "archive",
		prepare: func(*env) error { return nil },
		argv: func(e *env) []string {
			return []string{e.tool("oci-copy"), "-q", "oci:" + e.image + ":layers", "oci-archive:a.tar:x"}
		},
		check: func(e *env, done bool) error {
			if _, err := os.Stat(e.path("a.tar")); errors.Is(err, os.ErrNotExist) && !done {
				return nil
			}
			if err := os.MkdirAll(e.path("x"), 0o700); err != nil {
				return err
			}
			if err := e.do("tar", "-xf", "a.tar", "-C", "x"); err != nil {
				return fmt.Errorf("half an archive: %w", err)
			}
			return errors.Join(verifyLayout(e.path("x"), []string{"x"}, true), os.RemoveAll(e.path("x")))
		},
	},
	{
		name:    "unpack",
		prepare: func(*env) error { return nil },
		argv:    func(e *env) []string { return []string{e.tool("oci-unpack"), "-q", e.image + ":layers", "b"} },
		check: func(e *env, done bool) error {
			if err := wholeOrAbsent(e, done); err != nil {
				return err
			}
			if _, err := os.Lstat(e.path("b")); err != nil {
				return nil
			}
			return e.do(e.tool("oci-unpack"), "--check", "b")
		},
	},
	{
		name:    "mount",
		prepare: func(*env) error { return nil },
		argv: func(e *env) []string {
			return []string{e.tool("oci-mount"), "-q", "--root", e.path("s"), e.image + ":layers", "b"}
		},
		check: wholeOrAbsent,
		tidy:  unmountAll,
	},
	{
		name: "umount",
		prepare: func(e *env) error {
			return e.do(e.tool("oci-mount"), "-q", "--root", e.path("s"), e.image+":layers", "b")
		},
		argv:  func(e *env) []string { return []string{e.tool("oci-mount"), "-q", "--root", e.path("s"), "--rm", "b"} },
		check: func(*env, bool) error { return nil },
		tidy:  unmountAll,
	},
	{
		name:    "genspec",
		prepare: func(e *env) error { return e.do(e.tool("oci-unpack"), "-q", e.image+":lab", "b") },
		argv:    func(e *env) []string { return []string{e.tool("oci-genspec"), "-q", "b", "--", "true"} },
		check: func(e *env, done bool) error {
			var spec struct {
				Version string `json:"ociVersion"`
			}
			err := readJSON(e.path("b", "config.json"), &spec)
			if errors.Is(err, os.ErrNotExist) && !done {
				return nil
			}
			return err
		},
	},
	{
		name: "commit",
		prepare: func(e *env) error {
			return errors.Join(shared(e),
				e.do(e.tool("oci-unpack"), "-q", e.path("shared")+":old", "b"),
				os.WriteFile(e.path("b", "rootfs", "added"), []byte("added"), 0o600))
		},
		argv: func(e *env) []string {
			return []string{e.tool("oci-commit"), "-q", "--no-refresh", "b", "oci:shared:new"}
		},
		check: sharedHolds,
	},
}

func unmountAll(e *env) error {
	return e.do(e.tool("oci-mount"), "-q", "--root", e.path("s"), "--rm", "--all")
}
