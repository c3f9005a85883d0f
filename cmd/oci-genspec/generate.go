package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/pipe"
	"github.com/oci-plumbing/oci-plumbing/lib/spec"
)

// generate makes a config.json for the bundle of the operand, for each that
// standard input names, or for the image that the flags name.
func generate(ctx context.Context, inv *cli.Invocation) error {
	opt, err := options(inv)
	if err != nil {
		return err
	}
	operand := inv.Operand(0)
	named := inv.IsSet("image") || inv.IsSet("image-config")
	switch {
	case operand == "" && named:
		return generateOne(ctx, inv, opt, pipe.Record{})
	case operand != "" && operand != "-":
		return generateOne(ctx, inv, opt, pipe.Record{Kind: pipe.KindBundle, Path: operand})
	case inv.String("image-config") == "-":
		return inv.Usage("standard input cannot give both the bundle and the image config")
	case operand == "" && inv.StdinIsTerminal() && os.Getenv("OCI_BUNDLE") != "":
		// Below oci-mount -- PROG, typed by hand: there is no doubt which.
		return generateOne(ctx, inv, opt, pipe.Record{Kind: pipe.KindBundle, Path: os.Getenv("OCI_BUNDLE")})
	case operand == "" && inv.StdinIsTerminal():
		return inv.Usage("no operand, and standard input is a terminal")
	}
	in := bufio.NewReader(inv.Input())
	first, err := firstLine(in, inv.Bool("null"))
	if err != nil {
		return err
	}
	rest := io.MultiReader(bytes.NewReader(first), in)
	if isConfig(first) {
		data, err := readBounded(rest, "standard input")
		if err != nil {
			return err
		}
		return filter(inv, data, "")
	}
	records := pipe.NewReader(rest, inv.Bool("null"))
	for first := true; ; first = false {
		rec, err := records.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if output := outputOf(inv); !first && output != "" && output != "-" {
			return fault.Usage("--output %s holds the config.json of one bundle, and standard input names more", output)
		}
		if err := generateOne(ctx, inv, opt, rec); err != nil {
			return err
		}
	}
}

// outputOf is --output, with one name for standard output.
func outputOf(inv *cli.Invocation) string {
	output := inv.String("output")
	if cli.NamesStdout(output) {
		return "-"
	}
	return output
}

// firstLine reads up to the end of the first record.
func firstLine(in *bufio.Reader, null bool) ([]byte, error) {
	end := byte('\n')
	if null {
		end = 0
	}
	var line []byte
	for {
		part, err := in.ReadSlice(end)
		line = append(line, part...)
		switch {
		case len(line) > spec.MaxSize:
			return nil, fault.Refused("the first line of standard input exceeds %d bytes", spec.MaxSize)
		case err == nil, errors.Is(err, io.EOF):
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("read standard input: %w", err)
		}
	}
}

// isConfig tells a config.json from a record: both may begin with a brace, but
// a record is an object on one line, with a kind, and no ociVersion.
func isConfig(first []byte) bool {
	line := bytes.TrimRight(bytes.TrimLeft(first, " \t\r\n"), "\x00\r\n")
	if len(bytes.TrimSpace(first)) == 0 {
		// No record begins with an empty line, but a document may.
		return len(first) > 1
	}
	if line[0] != '{' {
		return false
	}
	var record struct {
		Kind    *string         `json:"kind"`
		Version json.RawMessage `json:"ociVersion"`
	}
	return json.Unmarshal(line, &record) != nil || record.Kind == nil || record.Version != nil
}

func generateOne(ctx context.Context, inv *cli.Invocation, opt spec.Options, rec pipe.Record) (err error) {
	if rec.Path == "" && rec.Kind != "" {
		err := fault.Usage("%s is not a bundle", rec.Name())
		if rec.Kind == pipe.KindImage {
			err = fault.Hint(err, "%s", lineOfImage(rec.Name()))
		}
		return err
	}
	src, err := findSource(ctx, inv, rec.Path)
	if err != nil {
		return err
	}
	output := outputOf(inv)
	if output == "" && src.bundle == nil {
		output = "-"
	}
	in, err := src.input(inv, output == "")
	if in.Rootfs != nil {
		defer func() { err = errors.Join(err, in.Rootfs.Close()) }()
	}
	if err != nil {
		return err
	}
	src.tree = in.Rootfs
	res, err := spec.Generate(in, opt)
	if err != nil {
		return err
	}
	warn(inv, res)
	return deliver(inv, src, res, output, rec)
}

// warn prints what the caller should know before the container is started.
func warn(inv *cli.Invocation, res *spec.Result) {
	for _, w := range res.Warnings {
		inv.Log.Warn("%s", w)
	}
	if inv.Log.Verbose(1) {
		for _, i := range res.Ignored {
			inv.Log.Detail("ignored %s of the image config: %s", i.Pointer, i.Why)
		}
	}
}

// deliver explains, writes the document, and prints the record.
func deliver(inv *cli.Invocation, src *source, res *spec.Result, output string, rec pipe.Record) error {
	if err := explainDocument(inv, res); err != nil {
		return err
	}
	target := output
	if output == "" {
		target = src.bundle.Config()
	}
	if inv.DryRun() {
		return printScript(inv, src, res, target)
	}
	undo, err := fillVolumes(src, res.CopyUps)
	if err == nil {
		err = deliverDocument(inv, src, res.Document.Bytes(), output, target, rec)
	}
	if err != nil {
		return errors.Join(err, undo())
	}
	return nil
}

// fillVolumes copies what the image has in its volumes. undo takes back what
// was made, also when one of them fails.
func fillVolumes(src *source, volumes []spec.CopyUp) (undo func() error, err error) {
	undo = func() error { return nil }
	for _, c := range volumes {
		before := undo
		last, err := src.tree.CopyUp(c)
		undo = func() error { return errors.Join(last(), before()) }
		if err != nil {
			return undo, err
		}
	}
	return undo, nil
}

func deliverDocument(inv *cli.Invocation, src *source, data []byte, output, target string, rec pipe.Record) error {
	switch {
	case output == "-":
		_, err := inv.Out.Write(data)
		if err != nil {
			err = fmt.Errorf("write config.json to standard output: %w", err)
		}
		return err
	case !src.ownConfig(target):
		// No record: the next stage would take up the config.json that lies in
		// the bundle, which is another one.
		return writeFile(output, data)
	}
	return writeAndTell(inv, src, data, target, rec)
}

// writeAndTell writes the file and prints the bundle. When nobody reads the
// record, the file that was there before comes back.
func writeAndTell(inv *cli.Invocation, src *source, data []byte, target string, rec pipe.Record) error {
	out := pipe.Record{Kind: pipe.KindBundle, Path: src.bundle.Dir, Extra: rec.Extra}
	if src.state != nil {
		out.Image, out.Digest = src.state.Reference, src.state.Manifest.Digest.String()
	}
	if err := inv.Records().Check(out.Path); err != nil {
		return err
	}
	undo, err := keep(target)
	if err != nil {
		return err
	}
	if err := writeFile(target, data); err != nil {
		return err
	}
	if err := inv.Records().Write(out); err != nil {
		return errors.Join(err, undo())
	}
	return nil
}

// keep returns what brings the file back to what it is now.
func keep(target string) (undo func() error, err error) {
	info, err := os.Stat(target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return func() error { return os.Remove(target) }, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		// What went into a pipe or a device stays there.
		return func() error { return nil }, nil
	}
	before, err := os.ReadFile(target)
	return func() error { return writeFile(target, before) }, err
}

// isStream reports whether a file is written to, not replaced: a pipe or a
// device.
func isStream(name string) bool {
	info, err := os.Stat(name)
	return err == nil && !info.Mode().IsRegular() && !info.IsDir()
}

// writeFile replaces the file whole, unless it is a stream.
func writeFile(name string, data []byte) error {
	if isStream(name) {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.Write(data)
		return errors.Join(err, f.Close())
	}
	dir, err := filepath.Abs(filepath.Dir(name))
	if err != nil {
		return err
	}
	return (&bundle.Bundle{Dir: dir}).WriteFile(filepath.Base(name), data, 0o644)
}
