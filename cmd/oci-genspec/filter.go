package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/pipe"
	"github.com/oci-plumbing/oci-plumbing/lib/spec"
)

// filterFile changes the config.json that --config names.
func filterFile(inv *cli.Invocation) error {
	name := inv.String("config")
	if inv.Operand(0) != "" {
		return inv.Usage("--config and the operand %q exclude each other", inv.Operand(0))
	}
	data, err := readFile(inv, name)
	if errors.Is(err, fault.ErrNotFound) {
		err = fault.Hint(err, "make one with: oci-genspec BUNDLE, or change that of the standard input with -c -")
	}
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	dir := ""
	if name != "-" {
		dir = filepath.Dir(name)
	}
	return filter(inv, data, dir)
}

// filter applies the flags to a config.json, and writes it out. dir is the
// bundle that a relative root.path starts from.
func filter(inv *cli.Invocation, data []byte, dir string) (err error) {
	opt, err := options(inv)
	if err != nil {
		return err
	}
	doc, err := spec.Parse(data)
	if err != nil {
		return err
	}
	in := spec.Input{Host: spec.ThisHost()}
	if abs, err := filepath.Abs(dir); dir != "" && err == nil {
		in.Name = filepath.Base(abs)
	}
	if rootfs := filterRootfs(inv, doc, dir); rootfs != "" {
		if in.Rootfs, err = spec.OpenRootfs(rootfs); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, in.Rootfs.Close()) }()
	}
	res, err := spec.Filter(doc, in, opt)
	if err != nil {
		return err
	}
	warn(inv, res)
	output := outputOf(inv)
	if output == "" {
		output = "-"
	}
	return deliver(inv, nil, res, output, pipe.Record{})
}

// filterRootfs is --rootfs, else the root.path of the document if it is there.
func filterRootfs(inv *cli.Invocation, doc *spec.Document, dir string) string {
	if inv.IsSet("rootfs") {
		return inv.String("rootfs")
	}
	root := doc.RootPath()
	if root != "" && !filepath.IsAbs(root) {
		root = filepath.Join(dir, root)
	}
	if info, err := os.Stat(root); err != nil || !info.IsDir() {
		return ""
	}
	return root
}
