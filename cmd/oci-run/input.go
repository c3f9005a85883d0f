package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/pipe"
	"github.com/oci-plumbing/oci-plumbing/lib/run"
)

// input is where the container comes from.
type input struct {
	// bundle is the directory to which paths in the config are relative; ""
	// for a config without one.
	bundle string
	// recorded is the bundle that --rm undoes.
	recorded string
	// image is the reference that the bundle records.
	image string
	// stdinUsed: standard input has served for a record or a config.
	stdinUsed bool
}

// findBundle finds the bundle, if there is one.
func (s *starter) findBundle(context.Context) error {
	dir, config := s.String("bundle"), s.String("config")
	switch {
	case dir == "-" && config == "-":
		return s.Usage("-b - and -c - both want standard input")
	case dir == "-", dir == "" && config == "" && s.Operand(0) == "":
		var err error
		if dir, err = s.readRecord(); err != nil {
			return err
		}
	case dir == "" && config != "":
		return nil
	case dir == "":
		dir = "."
	}
	b, err := bundle.Find(dir)
	if errors.Is(err, fault.ErrNotFound) && s.String("bundle") == "" && !s.input.stdinUsed && !s.StdinIsTerminal() {
		return fault.Hint(err, "run the bundle that a pipe names with: oci-run -b - %s", explain.Quote(s.Operand(0)))
	}
	if err != nil {
		return err
	}
	s.input.bundle, s.input.recorded = b.Dir, b.Dir
	return nil
}

// readRecord reads one record, and no byte beyond it: what follows may be for
// the program.
func (s *starter) readRecord() (string, error) {
	if s.StdinIsTerminal() {
		// Below "oci-mount IMAGE -- PROG" the bundle needs no pipe.
		if dir := os.Getenv("OCI_BUNDLE"); dir != "" && s.String("bundle") == "" {
			return dir, nil
		}
		return "", fault.Hint(s.Invocation.Usage("no ID, no bundle, and standard input is a terminal"),
			"run the bundle in the current directory: oci-run ID; another: oci-run -b BUNDLE")
	}
	if !s.DryRun() {
		run.WarmCgroups() // while those before this process are at work
	}
	rec, err := pipe.NewReader(byteReader{s.In}, s.Bool("null")).Next()
	if err != nil {
		return "", err
	}
	s.input.stdinUsed = true
	if rec.Path == "" {
		return "", fault.Hint(fault.Usage("%s is no bundle", rec.Name()), "oci-mount %s | oci-genspec -- CMD | oci-run", rec.Name())
	}
	return rec.Path, nil
}

// byteReader reads one byte at a time, so that a buffered reader above it
// takes nothing in advance.
type byteReader struct{ in io.Reader }

func (r byteReader) Read(p []byte) (int, error) { return r.in.Read(p[:min(1, len(p))]) }

// findConfig reads the config, and learns which bundle and image it is of.
func (s *starter) findConfig(context.Context) error {
	if err := s.readConfig(); err != nil {
		return err
	}
	s.describe()
	return nil
}

func (s *starter) readConfig() error {
	var err error
	switch file := s.String("config"); file {
	case "":
		s.config, err = run.ReadConfig((&bundle.Bundle{Dir: s.input.bundle}).Config())
		return err
	case "-":
		if s.StdinIsTerminal() {
			return s.Usage("-c - reads the config from standard input, which is a terminal")
		}
		s.config, err = run.ParseConfig(s.In)
		s.input.stdinUsed = true
	default:
		s.config, err = run.ReadConfig(file)
	}
	if err != nil {
		return err
	}
	if s.input.bundle == "" && !filepath.IsAbs(s.config.Spec.Root.Path) {
		return fault.Hint(fault.Usage("root.path %q in the config is relative, and there is no bundle", s.config.Spec.Root.Path),
			"name the bundle with -b BUNDLE, or make root.path absolute (oci-genspec -o - does)")
	}
	return s.config.Rebase(s.input.bundle)
}

// describe learns from the bundle's state which image this is. A config that
// came alone has the bundle that its root is the rootfs of.
func (s *starter) describe() {
	if s.input.recorded == "" {
		b, err := bundle.Find(s.config.Spec.Root.Path)
		if err != nil {
			return
		}
		s.input.recorded = b.Dir
	}
	b := &bundle.Bundle{Dir: s.input.recorded}
	if state, err := b.State(); err == nil {
		s.input.image = state.Reference
	} else if !errors.Is(err, fault.ErrNotFound) {
		s.Log.Warn("%v", err)
	}
}

// shapeConfig puts into the config what the command line and the terminal ask
// for.
func (s *starter) shapeConfig(context.Context) error {
	if err := s.override(); err != nil {
		return err
	}
	if err := s.decideTerminal(); err != nil {
		return err
	}
	if err := s.config.FixHooks(); err != nil {
		return err
	}
	return s.config.SetTerminal(s.term.on)
}

// findRuntime finds the runtime and its state directory.
func (s *starter) findRuntime(ctx context.Context) error {
	search := run.Search{
		Wanted: s.String("runtime"), Path: os.Getenv("PATH"), Pinned: pinned(),
		Args: s.StringSlice("runtime-arg"), Warn: s.Log.Warn, RunRoot: cli.RunRoot(),
	}
	r, err := search.Find(ctx)
	if err != nil {
		return fmt.Errorf("find a runtime: %w", err)
	}
	if r, err = r.Complete(s.config, cli.RunRoot(), os.Getenv("XDG_RUNTIME_DIR")); err != nil {
		return err
	}
	s.plan.Record.Runtime = r
	return run.CheckFit(s.config, r)
}

// pinned are the places of the runc that comes with this program: installed
// beside it, or built in its source tree.
func pinned() []string {
	if dir := os.Getenv("OCI_LIBEXEC"); dir != "" {
		return []string{filepath.Join(dir, "runc")}
	}
	exe, err := os.Executable()
	if err != nil {
		return nil
	}
	dir := filepath.Dir(exe)
	return []string{
		filepath.Join(dir, "..", "libexec", "oci-plumbing", "runc"),
		filepath.Join(dir, "..", "build", "libexec", "runc"),
	}
}
