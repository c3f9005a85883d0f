package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/spec"
)

// check prints what is wrong with the config.json of the operand: a file, a
// bundle, or standard input. It ends with 1 when there is an error.
func check(ctx context.Context, inv *cli.Invocation) error {
	data, dir, err := readDocument(inv, inv.Operand(0))
	if err != nil {
		return err
	}
	doc, err := spec.Parse(data)
	if err != nil {
		return err
	}
	known, err := features(ctx, inv)
	if err != nil {
		return err
	}
	findings, err := spec.Check(doc, spec.CheckOptions{Bundle: dir, Features: known})
	if err != nil {
		return err
	}
	var out bytes.Buffer
	failed := false
	for _, f := range findings {
		failed = failed || f.Severity == spec.SeverityError
		if !inv.Bool("json") {
			fmt.Fprintln(&out, printable(f.String()))
			continue
		}
		enc := json.NewEncoder(&out)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(f); err != nil {
			return fmt.Errorf("encode a finding: %w", err)
		}
	}
	if _, err := inv.Out.Write(out.Bytes()); err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	if failed {
		return fault.Exit(1)
	}
	return nil
}

// readDocument reads a config.json and tells the bundle it lies in: "" for
// standard input.
func readDocument(inv *cli.Invocation, name string) (data []byte, dir string, err error) {
	switch {
	case name == "-", name == "" && !inv.StdinIsTerminal():
		data, err := readFile(inv, "-")
		if err == nil && len(bytes.TrimSpace(data)) == 0 {
			err = errors.New("nothing arrived on standard input")
		}
		return data, "", err
	case name == "":
		return nil, "", inv.Usage("no operand, and standard input is a terminal")
	}
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		b, err := bundle.Find(name)
		if err != nil {
			return nil, "", err
		}
		name = b.Config()
	}
	data, err = readFile(inv, name)
	if err != nil {
		return nil, "", err
	}
	dir, err = filepath.Abs(filepath.Dir(name))
	return data, dir, err
}

// patience bounds how long a runtime may think about its features.
const patience = 5 * time.Second

// features asks the runtime what it can do. A runtime without that command,
// or no runtime at all, is no finding; one that was named must be there.
func features(ctx context.Context, inv *cli.Invocation) ([]byte, error) {
	runtime := inv.String("runtime")
	if runtime != "" {
		if _, err := exec.LookPath(runtime); err != nil {
			return nil, fault.Hint(fault.NotFound("--runtime %s: %w", runtime, err), "give the name of one in PATH, or its path")
		}
	}
	for _, name := range []string{"runc", "crun", "youki"} {
		if runtime != "" {
			break
		}
		if found, err := exec.LookPath(name); err == nil {
			runtime = found
		}
	}
	if runtime == "" {
		inv.Log.Note("no runtime in PATH: its features are not checked")
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, runtime, "features")
	var out bytes.Buffer
	cmd.Stdout = &limitedWriter{&out, spec.MaxSize}
	if err := cmd.Run(); err != nil || !json.Valid(out.Bytes()) {
		inv.Log.Note("%s does not tell its features: they are not checked", runtime)
		return nil, nil
	}
	return out.Bytes(), nil
}

// limitedWriter refuses what exceeds its bound.
type limitedWriter struct {
	out  io.Writer
	left int
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errors.New("too much output")
	}
	return w.out.Write(p)
}
