package main

import (
	"context"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
)

const name = "oci-commit"

func command() *cli.Command {
	return &cli.Command{
		Name:     name,
		Operands: "[BUNDLE|IMAGE] DST | --from scratch DIR|TAR|- DST | --from IMAGE [DIR|TAR|-] DST | --diff BUNDLE",
		Summary: "Makes a layer of what changed in a bundle of oci-mount, oci-unpack or umoci, stacks it on the image " +
			"that the bundle came from, and prints the new image, oci:DIR:TAG. Nothing but the changes is read " +
			"where the bundle's record allows, and equal changes give equal bytes. Further options edit the " +
			"image's config, and lose nothing of it.",
		Examples: []cli.Example{
			{Line: "oci-commit bundle oci:store:mine | oci-copy - docker://registry.example/mine", Why: "commit, and push"},
			{Line: "tar -c . | oci-commit --from scratch - oci:store:base", Why: "make an image of a directory tree"},
			{Line: "oci-commit --env LANG=C --cmd sh oci:store:base oci:store:configured", Why: "edit a config only"},
		},
		Flags:       flags(),
		MaxOperands: 2,
		Run:         run,
	}
}

func flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "from", Usage: "stack on `IMAGE`, oci:DIR:TAG, or on nothing when it is \"scratch\"; with a bundle: where its image is"},
		&cli.StringSliceFlag{Name: "layer", Usage: "add `TAR`, - for standard input, as a layer; may be repeated"},
		&cli.BoolFlag{Name: "squash", Usage: "make one layer of the whole rootfs, in place of all the image's layers"},
		&cli.BoolFlag{Name: "empty-layer", Usage: "add no layer, whatever changed in the rootfs: only the config is edited"},
		&cli.BoolFlag{Name: "diff", Usage: "print what changed, A added, C changed, D deleted, and commit nothing"},

		&cli.StringSliceFlag{Name: "env", Usage: "set the variable `NAME=VALUE`"},
		&cli.StringSliceFlag{Name: "entrypoint", Usage: "set the entrypoint: one `WORD` per option, or a JSON array"},
		&cli.StringSliceFlag{Name: "cmd", Usage: "set the command: one `WORD` per option, or a JSON array"},
		&cli.StringFlag{Name: "user", Usage: "set the `USER[:GROUP]` to run as"},
		&cli.StringFlag{Name: "workdir", Usage: "set the working directory `DIR`"},
		&cli.StringSliceFlag{Name: "label", Usage: "set the label `NAME=VALUE`"},
		&cli.StringSliceFlag{Name: "expose", Usage: "add the port `PORT[/PROTOCOL]`"},
		&cli.StringSliceFlag{Name: "volume", Usage: "add the volume `PATH`"},
		&cli.StringFlag{Name: "stop-signal", Usage: "set the `SIGNAL` that stops a container"},
		&cli.StringFlag{Name: "author", Usage: "set the author to `TEXT`, in the history entry too"},
		&cli.StringFlag{Name: "platform", Usage: "set `OS/ARCH[/VARIANT]`", DefaultText: "the parent's; the host's from scratch"},
		&cli.StringSliceFlag{Name: "annotation", Usage: "set `NAME=VALUE` on the manifest"},
		&cli.StringSliceFlag{Name: "config-patch", Usage: "merge `JSON` (RFC 7396) into the config: an object, a file, or - for standard input"},
		&cli.StringSliceFlag{Name: "clear", Usage: "remove `FIELD` of the config, or FIELD=KEY of a list or map, before all other edits"},
		&cli.StringFlag{Name: "created", Usage: "set the date to `TIME`: RFC 3339, or seconds since 1970", EnvVars: nil, DefaultText: "$SOURCE_DATE_EPOCH, else now"},
		&cli.StringFlag{Name: "history", Usage: "tell in the history entry that `TEXT` made the layer", DefaultText: name},
		&cli.StringFlag{Name: "comment", Usage: "add the comment `TEXT` to the history entry"},
		&cli.BoolFlag{Name: "no-history", Usage: "add no history entry"},

		&cli.StringFlag{Name: "compress", Usage: "compress the layer by `METHOD`: gzip, zstd, none, or auto for that of the image's last layer", Value: "auto"},
		&cli.IntFlag{Name: "level", Usage: "compression level `N`: 1 to 9 for gzip, 1 to 22 for zstd", DefaultText: "6 and 3"},
		&cli.StringSliceFlag{Name: "mask-path", Usage: "leave `PATH` and all below it out"},
		&cli.BoolFlag{Name: "include-volumes", Usage: "commit what is below the image's volumes, too"},
		&cli.BoolFlag{Name: "include-litter", Usage: "commit new, empty files and directories that a runtime makes to mount on, too"},
		&cli.BoolFlag{Name: "verify", Usage: "read every file and compare its digest, whatever the bundle's record says"},
		&cli.BoolFlag{Name: "no-refresh", Usage: "leave the bundle's record alone: the next commit is against the same image again"},
		&cli.BoolFlag{Name: "force", Usage: "commit the upper directory of a volatile mount although a crash may have damaged it"},
	}
}

func run(ctx context.Context, inv *cli.Invocation) error {
	c, err := newCommit(inv)
	if err != nil {
		return err
	}
	return c.run(ctx)
}
