package main

import (
	"context"
	"errors"
	"slices"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/pipe"
)

const name = "oci-mount"

func command() *cli.Command {
	return &cli.Command{
		Name:     name,
		Operands: "IMAGE [BUNDLE] [-- PROG [ARG...]] | --list | -u PATH|ID... | --rm PATH|ID... | --gc | --diff BUNDLE",
		Summary: "Makes a bundle whose rootfs is a copy-on-write mount of an image in an OCI layout, and prints the " +
			"mount point. Layers are extracted once into a cache and shared by all mounts; what is changed in the " +
			"rootfs goes into the bundle's upper directory. With -- PROG the mount lasts as long as PROG, which " +
			"works without root, too.",
		Examples: []cli.Example{
			{Line: "m=$(oci-mount oci:store:busybox)", Why: "mount an image, and remember where"},
			{Line: "oci-copy docker://busybox oci:store:busybox | oci-mount | oci-genspec -t -- sh | oci-run", Why: "from a registry to a container"},
			{Line: "oci-mount oci:store:busybox -- ls -l rootfs", Why: "look into an image without root; nothing is left behind"},
		},
		Flags:           flags(),
		MaxOperands:     -1,
		TrailingCommand: true,
		Run:             run,
	}
}

func flags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "read-only", Usage: "mount without an upper directory: nothing can be changed"},
		&cli.BoolFlag{Name: "volatile", Usage: "leave out every sync: faster, but the changes are lost after a crash"},
		&cli.BoolFlag{Name: "force", Usage: "mount the upper directory of a volatile mount although a crash may have damaged it"},
		&cli.StringFlag{Name: "size", Usage: "keep the changes in memory, in a tmpfs of at most `SIZE` bytes (suffix k, m or g)"},
		&cli.StringSliceFlag{Name: "id-map", Usage: "show id CONTAINER of the image as HOST, for SIZE ids: `CONTAINER:HOST[:SIZE]`; may be repeated"},
		&cli.StringFlag{Name: "layer-format", Usage: "cache new layers as `FORMAT`: dir, erofs (one file each), or auto, which is erofs where the kernel can", Value: formatDir},
		&cli.StringFlag{Name: "platform", Usage: "of an image for several: `OS/ARCH[/VARIANT]`", DefaultText: "the host's"},
		&cli.BoolFlag{Name: "list", Usage: "list the mounts"},
		&cli.BoolFlag{Name: "umount", Aliases: []string{"u"}, Usage: "unmount the bundles PATH or ID, and keep what was changed in them"},
		&cli.BoolFlag{Name: "lazy", Usage: "with --umount or --rm: take a busy mount out of sight at once"},
		&cli.BoolFlag{Name: "all", Usage: "with --umount or --rm: every bundle of the state directory; with --list: also those not mounted"},
		&cli.BoolFlag{Name: "rm", Usage: "unmount the bundles PATH or ID, and delete them; with -- PROG: delete the bundle afterwards"},
		&cli.BoolFlag{Name: "gc", Usage: "remove cached layers that no bundle and no layout refers to, and what crashes left"},
		&cli.BoolFlag{Name: "diff", Usage: "print what was changed in the bundle: A added, C changed, D deleted"},
	}
}

// verbs are the flags that make oci-mount do something else than mount. --rm
// is one, but for the chain form.
var verbs = []string{"list", "umount", "rm", "gc", "diff"}

func run(ctx context.Context, inv *cli.Invocation) error {
	if inv.Trailing != nil {
		return chain(ctx, inv)
	}
	chosen := slices.DeleteFunc(slices.Clone(verbs), func(v string) bool { return !inv.Bool(v) })
	if len(chosen) == 2 && slices.Contains(chosen, "umount") && slices.Contains(chosen, "rm") {
		chosen = []string{"rm"} // -u --rm says the same as --rm
	}
	if len(chosen) > 1 {
		return inv.Usage("--%s and --%s exclude each other", chosen[0], chosen[1])
	}
	if len(chosen) == 0 {
		return mount(ctx, inv)
	}
	if chosen[0] != "list" && chosen[0] != "umount" && chosen[0] != "rm" && inv.Bool("all") {
		return inv.Usage("--all goes with --list, --umount or --rm")
	}
	switch chosen[0] {
	case "list":
		return list(ctx, inv)
	case "gc":
		return collect(ctx, inv)
	case "diff":
		return diff(ctx, inv)
	default:
		return undo(ctx, inv)
	}
}

// mount is the plain form: each record becomes a mount that outlives the
// process.
func mount(ctx context.Context, inv *cli.Invocation) error {
	if len(inv.Operands) > 2 {
		return inv.Usage("unexpected operand %q", inv.Operands[2])
	}
	if inv.Bool("all") || inv.Bool("lazy") {
		return inv.Usage("--all and --lazy go with --umount, --rm or --list")
	}
	base, err := newPlan(inv)
	if err != nil {
		return err
	}
	return inv.EachInput(inv.Operand(0), func(rec pipe.Record) error {
		p := base
		if err := p.setImage(rec); err != nil {
			return err
		}
		if inv.DryRun() {
			return dryRun(ctx, inv, p)
		}
		if err := mayMount(p); err != nil {
			return err
		}
		if err := inv.Records().Check(p.Bundle); err != nil {
			return err
		}
		m := newMounter(p, inv)
		made, err := m.mount(ctx)
		if err != nil {
			return err
		}
		if err := inv.Records().Write(made.record()); err != nil {
			return errors.Join(err, made.undo())
		}
		return nil
	})
}

// mayMount explains, before anything is done, why an ordinary user's mount
// cannot be handed on.
func mayMount(p plan) error {
	if privileged() {
		return nil
	}
	return fault.Hint(errors.New("mounting needs root"), "a mount of an ordinary user lives in a namespace of its own and ends with it, "+
		"so its path cannot be passed on; name the program that is to use it: oci-mount %s -- sh -c 'ls rootfs'", p.Image)
}
