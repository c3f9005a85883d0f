package main

import (
	"context"
	"os"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
)

func command() *cli.Command {
	return &cli.Command{
		Name:     "oci-genspec",
		Operands: "[BUNDLE] [-- COMMAND [ARGUMENT...]]",
		Summary: "Makes the config.json of a bundle: from the config of its image, a profile of defaults, and the flags. " +
			"Without an operand the bundle is read from standard input; a config.json there is changed as the flags say, and nothing else in it.",
		Examples: []cli.Example{
			{Line: "oci-mount busybox:latest | oci-genspec -t -- sh | oci-run", Why: "run a shell in an image, by way of its bundle"},
			{Line: "oci-genspec -x --cap-drop all --read-only bundle -- id", Why: "say of each field where it comes from and why"},
			{Line: "runc spec && oci-genspec -c config.json --memory 64m --hostname lab -o config.json", Why: "change two things in a config.json, and nothing else"},
		},
		Flags:           flags(),
		MaxOperands:     2,
		TrailingCommand: true,
		Run:             run,
	}
}

// refuseLonely refuses flags that have no effect without another one. The
// variable OCI_RUNTIME is for other tools, too.
func refuseLonely(inv *cli.Invocation) error {
	runtime := inv.String("runtime")
	switch {
	case inv.IsSet("platform") && !inv.IsSet("image"):
		return inv.Usage("--platform has no effect without --image")
	case runtime != os.Getenv("OCI_RUNTIME") && !inv.Bool("check"):
		return inv.Usage("--runtime has no effect without --check")
	}
	return nil
}

// run chooses one of the four things that the tool does.
func run(ctx context.Context, inv *cli.Invocation) error {
	if err := refuseEngineFlags(inv); err != nil {
		return err
	}
	if err := refuseVolume(inv); err != nil {
		return err
	}
	if err := refuseLonely(inv); err != nil {
		return err
	}
	switch {
	case inv.Bool("diff"):
		return diff(inv)
	case len(inv.Operands) > 1:
		return inv.Usage("unexpected operand %q", inv.Operand(1))
	case inv.Bool("check"):
		return check(ctx, inv)
	case inv.IsSet("config"):
		return filterFile(inv)
	default:
		return generate(ctx, inv)
	}
}
