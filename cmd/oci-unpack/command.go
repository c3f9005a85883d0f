package main

import (
	"context"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/confine"
	"github.com/oci-plumbing/oci-plumbing/lib/pipe"
)

const name = "oci-unpack"

func command() *cli.Command {
	return &cli.Command{
		Name:     name,
		Operands: "IMAGE [BUNDLE]",
		Summary: "Applies the layers of an image in an OCI layout, and makes a bundle: rootfs/, an mtree manifest of it, and " +
			"oci-bundle.json. Every blob is verified, and the bundle appears whole or not at all. Without BUNDLE it is " +
			"named after the tag, NAME.bundle in the current directory. Without IMAGE, records are read from standard input.",
		Examples: []cli.Example{
			{Line: "b=$(oci-unpack oci:store:busybox bundle)", Why: "unpack an image, and remember where"},
			{Line: "oci-copy docker://busybox oci:store:busybox | oci-unpack | oci-genspec -t -- sh | oci-run", Why: "from a registry to a container"},
			{Line: "oci-unpack --check bundle", Why: "list what was changed in the rootfs since"},
		},
		Flags:       flags(),
		MaxOperands: 2,
		Run:         run,
	}
}

func flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "platform", Usage: "of an image for several: `OS/ARCH[/VARIANT]`", DefaultText: "the host's"},
		&cli.StringFlag{Name: "rootfs-only", Usage: "make only the tree, as the directory `DIR`"},
		&cli.BoolFlag{Name: "into-existing", Usage: "with --rootfs-only: merge into a directory that may hold something"},
		&cli.StringFlag{Name: "tar", Usage: "write the merged tree as one tar archive to `FILE`, - for standard output, and no directory"},
		&cli.StringFlag{Name: "layer", Usage: "with --rootfs-only or --tar: take one layer alone, the `N`th from the lowest, 1, or by digest"},
		&cli.BoolFlag{Name: "no-mtree", Usage: "make no mtree manifest, and compute no digests for it"},
		&cli.BoolFlag{Name: "check", Usage: "compare the rootfs of the bundle IMAGE with its manifest; exit 1 when they differ"},
		&cli.StringSliceFlag{Name: "uid-map", Usage: "give user `CONTAINER:HOST[:SIZE]` of the image to HOST; may be repeated"},
		&cli.StringSliceFlag{Name: "gid-map", Usage: "give group `CONTAINER:HOST[:SIZE]` of the image to HOST; may be repeated"},
		&cli.BoolFlag{Name: "rootless", Usage: "own every file, and keep owners in the xattr user.rootlesscontainers; the default without root and maps"},
		&cli.BoolFlag{Name: "keep-dirlinks", Usage: "keep a symlink to a directory where a layer has a directory of its name"},
		&cli.BoolFlag{Name: "sniff", Usage: "believe the first bytes of a layer more than its media type"},
		&cli.Int64Flag{Name: "max-layer-size", Usage: "refuse a layer that unpacks to more than `BYTES`", Value: 64 << 30},
		&cli.BoolFlag{Name: "bottom-up", Usage: "write every layer in full, also what a higher one replaces: slower, for comparison"},
		&cli.StringFlag{Name: "progress", Usage: "on standard error: `WHEN` is auto (a bar, on a terminal), json or never", Value: "auto"},
	}
}

func run(ctx context.Context, inv *cli.Invocation) error {
	if inv.Bool("check") {
		return checkBundles(ctx, inv)
	}
	p, err := newPlan(inv)
	if err != nil {
		return err
	}
	if !inv.DryRun() && p.tar == "" {
		p.ahead = confine.StartAhead(ctx, programName(), inv.Err)
		defer p.ahead.Close()
	}
	records := 0
	return inv.EachInput(inv.Operand(0), func(rec pipe.Record) error {
		records++
		if records > 1 && p.tar != "" {
			return inv.Usage("--tar %s holds one image, and standard input names more", p.tar)
		}
		p := p
		if err := p.setImage(ctx, rec); err != nil {
			return err
		}
		if inv.DryRun() {
			return printScript(ctx, inv, p)
		}
		if err := p.explain(ctx, inv); err != nil {
			return err
		}
		switch {
		case p.tar != "":
			return writeTar(ctx, inv, p)
		case p.existing:
			return mergeInto(ctx, inv, p)
		default:
			return makeBundle(ctx, inv, p)
		}
	})
}
