package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/pipe"
)

// kindRootfs is the record of --rootfs-only: a tree without a bundle.
const kindRootfs = "rootfs"

// makeBundle makes the bundle, or with --rootfs-only the tree alone, under a
// temporary name; the name it was asked for appears when all is done.
func makeBundle(ctx context.Context, inv *cli.Invocation, p plan) (err error) {
	final, err := filepath.Abs(p.bundle)
	if err != nil {
		return err
	}
	if err := inv.Records().Check(final); err != nil {
		return err
	}
	staging, err := bundle.Stage(p.bundle)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.empty(ctx, inv, staging.Dir))
		}
		err = errors.Join(err, staging.Discard())
	}()
	rootfs := bundle.RootfsDir
	if p.rootfsOnly {
		rootfs = "."
	}
	stop := staging.WriteBack()
	made, err := p.runConfined(ctx, inv, staging.Dir, rootfs)
	stop()
	if err != nil {
		return err
	}
	if !p.rootfsOnly {
		state := p.state()
		state.Placeholders = made.Placeholders
		if err := staging.WriteState(state); err != nil {
			return err
		}
	}
	if p.mtree {
		if err := p.writeUmoci(&staging.Bundle); err != nil {
			return err
		}
	}
	if err := p.openToRoot(staging.Dir); err != nil {
		return err
	}
	if err := staging.Publish(ctx); err != nil {
		return err
	}
	p.summary(inv, made)
	if err := inv.Records().Write(p.record(final)); err != nil {
		return errors.Join(err, p.empty(ctx, inv, final), staging.Retract())
	}
	return nil
}

// rootGroup is the group by which the root of the container reaches the
// bundle: where ids are mapped it is an ordinary user of the host, and a
// runtime sets the container up as it.
func (p *plan) rootGroup() (gid uint32, ok bool) {
	if p.rootfsOnly || os.Geteuid() != 0 || len(p.options.GIDMap) == 0 {
		return 0, false
	}
	gid, err := p.options.GIDMap.ToHost(0)
	return gid, err == nil && gid != 0
}

// openToRoot lets that group, and nobody else, pass through the directory.
func (p *plan) openToRoot(dir string) error {
	gid, ok := p.rootGroup()
	if !ok {
		return nil
	}
	if err := os.Lchown(dir, -1, int(gid)); err != nil {
		return fmt.Errorf("give the bundle to the group of the mapped root: %w", err)
	}
	return os.Chmod(dir, 0o710)
}

// mergeInto applies the layers to a directory that is there. It cannot be
// undone, so nothing is said of the bundle contract.
func mergeInto(ctx context.Context, inv *cli.Invocation, p plan) error {
	dir, err := filepath.Abs(p.bundle)
	if err != nil {
		return err
	}
	if err := inv.Records().Check(dir); err != nil {
		return err
	}
	switch info, err := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist):
		return fault.Hint(fault.NotFound("directory %s does not exist", dir), "leave out --into-existing, which makes it")
	case err != nil:
		return err
	case !info.IsDir():
		return fault.Usage("--rootfs-only %s is not a directory", dir)
	}
	made, err := p.runConfined(ctx, inv, dir, ".")
	if err != nil {
		return err
	}
	p.summary(inv, made)
	return inv.Records().Write(p.record(dir))
}

func (p *plan) record(path string) pipe.Record {
	kind := pipe.KindBundle
	if p.rootfsOnly {
		kind = kindRootfs
	}
	return pipe.Record{
		Kind: kind, Path: path, Image: p.image.Reference.String(), Digest: p.image.Descriptor.Digest.String(),
	}
}
