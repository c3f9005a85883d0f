package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/layer"
)

// kindArchive is the record of --tar FILE.
const kindArchive = "archive"

// writeTar writes the merged tree as one archive. It makes no file of the
// image, so that there is nothing to wall off.
func writeTar(ctx context.Context, inv *cli.Invocation, p plan) error {
	if p.tar == "-" {
		if inv.StdoutIsTerminal() {
			return inv.Usage("--tar - would write an archive to the terminal")
		}
		return p.flatten(ctx, inv, inv.Out)
	}
	final, err := filepath.Abs(p.tar)
	if err != nil {
		return err
	}
	if err := inv.Records().Check(final); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(final), ".oci-tmp-tar-")
	if err != nil {
		return err
	}
	err = p.flatten(ctx, inv, temp)
	if err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err == nil {
		err = os.Rename(temp.Name(), final)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	rec := p.record(final)
	rec.Kind = kindArchive
	if err := inv.Records().Write(rec); err != nil {
		return errors.Join(err, os.Remove(final))
	}
	return nil
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
