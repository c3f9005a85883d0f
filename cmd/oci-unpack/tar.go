package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/durable"
	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layer"
	"github.com/oci-plumbing/oci-plumbing/lib/pipe"
)

// kindArchive is the record of --tar FILE.
const kindArchive = "archive"

// writeTar writes the merged tree as one archive. It makes no file of the
// image, so that there is nothing to wall off.
func writeTar(ctx context.Context, inv *cli.Invocation, p plan) (err error) {
	if p.tar == "-" {
		if inv.StdoutIsTerminal() {
			return inv.Usage("--tar - would write an archive to the terminal")
		}
		return p.flatten(ctx, inv, pipe.Output(ctx, inv.Out))
	}
	final, err := filepath.Abs(p.tar)
	if err != nil {
		return err
	}
	if err := inv.Records().Check(final); err != nil {
		return err
	}
	out, err := openArchive(final)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Drop()) }()
	if err := p.flatten(ctx, inv, out); err != nil {
		return err
	}
	if err := out.Publish(); err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	rec := p.record(final)
	rec.Kind = kindArchive
	if err := inv.Records().Write(rec); err != nil {
		return errors.Join(err, out.Undo())
	}
	return nil
}

func openArchive(path string) (*durable.Output, error) {
	out, err := durable.OpenOutput(path)
	switch {
	case err == nil:
		return out, nil
	case errors.Is(err, unix.EISDIR):
		return nil, fault.Hint(fault.Usage("--tar %s is a directory", path), "name a file; --rootfs-only DIR makes the tree in a directory")
	case errors.Is(err, fs.ErrNotExist):
		err = fault.Hint(err, "make its directory with: mkdir -p %s", explain.Quote(filepath.Dir(path)))
	}
	return nil, fmt.Errorf("write the archive: %w", err)
}

func (p *plan) flatten(ctx context.Context, inv *cli.Invocation, out io.Writer) error {
	opt := p.options.forLayers()
	opt.Warn = inv.Log.Warn
	buffered := bufio.NewWriterSize(out, 1<<20)
	if err := layer.WriteTar(ctx, p.layout, p.layers, buffered, opt); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	return nil
}
