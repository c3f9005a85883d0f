package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// operation is a run of one of the tools that may be struck.
type operation struct {
	name, why string
	// runs tells that it starts a container, confined that the tool sets up
	// a system call filter.
	runs, confined bool
	// prepare makes what the operation starts from, in an empty directory.
	prepare func(e *env) error
	// argv is what is struck.
	argv func(e *env) []string
	// check tells what must hold afterwards, whatever happened; done says
	// that the tool ended with status 0.
	check func(e *env, done bool) error
	// made tells, after a blow, that the work was published all the same,
	// so that it cannot be done again; may be nil.
	made func(e *env) bool
	// tidy undoes what a finished operation has made; may be nil.
	tidy func(e *env) error
}

// env is where one point is tried.
type env struct {
	bin, image, shared, program, registry, dir string
	id                                         string // of a container
}

func (e *env) tool(name string) string { return filepath.Join(e.bin, name) }
func (e *env) path(parts ...string) string {
	return filepath.Join(append([]string{e.dir}, parts...)...)
}

// shared gives the point a layout that holds two tags already.
func shared(e *env) error { return e.do("cp", "-a", e.shared, "shared") }

// sharedHolds checks the layout of shared.
func sharedHolds(e *env, done bool) error {
	tags := []string{"old", "older"}
	if done {
		tags = append(tags, "new")
	}
	return verifyLayout(e.path("shared"), tags, done)
}

// copied checks the layout of shared into which the image "layers" is copied:
// the new tag is that image, or is not there.
func copied(e *env, done bool) error {
	if err := sharedHolds(e, done); err != nil {
		return err
	}
	want, err := tagged(e.image, "layers")
	if err != nil {
		return err
	}
	got, err := tagged(e.path("shared"), "new")
	if err == nil && got != want && (done || got != "") {
		err = fmt.Errorf("the tag new is %q, not %s", got, want)
	}
	return err
}

// thereIs tells that b exists.
func thereIs(e *env) bool {
	_, err := os.Lstat(e.path("b"))
	return err == nil
}

func nothing(*env) error { return nil }

// noneButDone accepts whatever is there.
func noneButDone(*env, bool) error { return nil }

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
		name: "copy", why: "oci-copy, layout to layout",
		prepare: shared,
		argv: func(e *env) []string {
			return []string{e.tool("oci-copy"), "-q", "oci:" + e.image + ":layers", "oci:shared:new"}
		},
		check: copied,
	},
	{
		name: "pull", why: "oci-copy, registry to layout",
		prepare: shared,
		argv:    func(e *env) []string { return pull(e, plain, "new") },
		check:   copied,
	},
	{
		name: "push", why: "oci-copy, layout to registry",
		prepare: unique,
		argv:    func(e *env) []string { return push(e, "ok") },
		check: func(e *env, done bool) error {
			if !done {
				return nil
			}
			return e.do(append(pullFrom(e, "ok/"+e.id), "oci:back:t")...)
		},
	},
	{
		name: "archive", why: "oci-copy, layout to oci-archive",
		prepare: nothing,
		argv: func(e *env) []string {
			return []string{e.tool("oci-copy"), "-q", "oci:" + e.image + ":layers", "oci-archive:a.tar:x"}
		},
		check: wholeArchive,
	},
	{
		name: "unpack", why: "oci-unpack of five layers", confined: true,
		prepare: nothing,
		argv:    func(e *env) []string { return []string{e.tool("oci-unpack"), "-q", e.image + ":layers", "b"} },
		check:   unpacked,
		made:    thereIs,
	},
	{
		name: "unpack1", why: "oci-unpack of one layer", confined: true,
		prepare: nothing,
		argv:    func(e *env) []string { return []string{e.tool("oci-unpack"), "-q", e.image + ":lab", "b"} },
		check:   unpacked,
		made:    thereIs,
	},
	{
		name: "mount", why: "oci-mount with an empty cache", confined: true,
		prepare: nothing,
		argv:    func(e *env) []string { return mount(e, "b") },
		check:   wholeOrAbsent,
		made:    thereIs,
		tidy:    unmountAll,
	},
	{
		name: "umount", why: "oci-mount --rm",
		prepare: func(e *env) error { return e.do(mount(e, "b")...) },
		argv:    func(e *env) []string { return []string{e.tool("oci-mount"), "-q", "--root", e.path("s"), "--rm", "b"} },
		check:   noneButDone,
		made:    func(e *env) bool { return !thereIs(e) },
		tidy:    unmountAll,
	},
	{
		name: "gc", why: "oci-mount --gc of layers that nothing uses",
		prepare: forsaken,
		argv:    gc,
		check:   func(e *env, _ bool) error { return errors.Join(e.do(mount(e, "b")...), unmountAll(e)) },
		tidy:    func(e *env) error { return e.do(gc(e)...) },
	},
	{
		name: "genspec", why: "oci-genspec into a bundle",
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
		name: "commit", why: "oci-commit of an unpacked bundle",
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
	{
		name: "run", why: "oci-run until the program ends", runs: true,
		prepare: bundle,
		argv: func(e *env) []string {
			return []string{e.tool("oci-run"), "-q", "--runtime", "runc", "--replace", "-b", "b", e.id}
		},
		check: noneButDone,
		tidy:  forget,
	},
	{
		name: "delete", why: "oci-run --delete of a container that has ended", runs: true,
		prepare: func(e *env) error {
			return errors.Join(bundle(e), e.do(e.tool("oci-run"), "-q", "--runtime", "runc", "--detach", "-b", "b", e.id), e.do(e.tool("oci-run"), "-q", "--wait", e.id))
		},
		argv:  deleted,
		check: noneButDone,
		tidy:  forget,
		made:  func(e *env) bool { return forget(e) == nil },
	},
}

func mount(e *env, target string) []string {
	return []string{e.tool("oci-mount"), "-q", "--root", e.path("s"), e.image + ":layers", e.path(target)}
}

func unmountAll(e *env) error {
	return e.do(e.tool("oci-mount"), "-q", "--root", e.path("s"), "--rm", "--all")
}

// forsaken makes a cache of layers that no bundle and no layout refers to.
func forsaken(e *env) error {
	argv := []string{e.tool("oci-mount"), "-q", "--root", e.path("s"), "own:layers", "b"}
	return errors.Join(e.do("cp", "-a", e.image, "own"), e.do(argv...), unmountAll(e), os.RemoveAll(e.path("own")))
}

func gc(e *env) []string { return []string{e.tool("oci-mount"), "-q", "--root", e.path("s"), "--gc"} }

func pullFrom(e *env, repository string) []string {
	return []string{e.tool("oci-copy"), "-q", "--src-tls-verify=false", "docker://" + e.registry + "/" + repository + ":t"}
}

// pull copies from the registry that misbehaves in the mode into shared. Only
// the modes that stall are given up soon: on a busy machine a second without
// a byte comes to every registry.
func pull(e *env, mode, tag string) []string {
	argv := append(pullFrom(e, mode+"/img"), "oci:shared:"+tag)
	if strings.HasPrefix(mode, "stall") {
		argv = append(argv, "--stall-timeout", "1s")
	}
	return argv
}

// unique makes an image that the registry does not have: its config is new.
func unique(e *env) error {
	return e.do(e.tool("oci-commit"), "-q", "--env", "POINT="+e.id, "oci:"+e.image+":layers", "oci:mine:t")
}

// push copies the image of unique to a repository of the point's own.
func push(e *env, mode string) []string {
	return []string{e.tool("oci-copy"), "-q", "--dest-tls-verify=false", "oci:mine:t", "docker://" + e.registry + "/" + mode + "/" + e.id + ":t"}
}

// bundle gives the point the bundle that can run. Its files are links.
func bundle(e *env) error { return e.do("cp", "-al", e.program, "b") }

func deleted(e *env) []string {
	return []string{e.tool("oci-run"), "-q", "--delete", e.id}
}

// forget deletes the container, if there is one.
func forget(e *env) error {
	out, err := e.run(context.Background(), deleted(e)...)
	if err == nil && out.status != 0 && !strings.Contains(out.stderr, "there is no container") {
		err = fmt.Errorf("delete: status %d: %s", out.status, out.stderr)
	}
	return err
}

func unpacked(e *env, done bool) error {
	if err := wholeOrAbsent(e, done); err != nil || !thereIs(e) {
		return err
	}
	return e.do(e.tool("oci-unpack"), "--check", "b")
}

func wholeArchive(e *env, done bool) error {
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
}
