package main

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/transport"
)

func command() *cli.Command {
	return &cli.Command{
		Name:     "oci-copy",
		Operands: "SRC DST",
		Summary: "Copy an image from SRC to DST, each written TRANSPORT:NAME, and print DST when it is there, durably and verified. " +
			"Transports: " + strings.Join(transport.Transports(), " ") + ". SRC - reads the reference of an image from standard input; " +
			"the path - of an archive is standard input or output.",
		Examples: []cli.Example{
			{Line: "oci-copy docker://busybox oci:store:busybox", Why: "from a registry into a layout, where the other tools find it"},
			{Line: "oci-copy oci:store:busybox docker-archive:- | docker load", Why: "to a Docker Engine, without a file in between"},
			{Line: "oci-copy --all docker://alpine oci-archive:alpine.tar", Why: "all platforms of an image, in one file for the air gap"},
		},
		Flags:       flags(),
		MaxOperands: 2,
		Run:         run,
	}
}

func run(ctx context.Context, inv *cli.Invocation) error {
	mendEnvironment()
	transport.Logs(inv.Log.Warn, inv.Log.Detail)
	if limit := inv.Duration("timeout"); limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, fault.Temporary("not done after the %s of --timeout", limit))
		defer cancel()
		inv.Context.Context = ctx // for what is read from standard input
	}
	options, err := optionsOf(inv)
	if err != nil {
		return err
	}
	many := inv.Bool("batch")
	switch {
	case many && len(inv.Operands) > 0:
		return inv.Usage("--batch reads SRC<tab>DST lines from standard input and takes no operands")
	case many && inv.Bool("tags"):
		return inv.Usage("--batch and --tags exclude each other")
	case !many && len(inv.Operands) != 2:
		return inv.Usage("want two operands, SRC and DST, got %d", len(inv.Operands))
	}
	r := &runner{inv: inv, records: inv.Records()}
	r.progress, err = newProgress(inv)
	if err != nil {
		return err
	}
	if r.progress != nil {
		options.Progress = r.progress.event
		options.Note = func(format string, args ...any) {
			r.progress.clear()
			inv.Log.Note(format, args...)
		}
		defer r.progress.stop()
	}
	if r.copier, err = transport.New(*options); err != nil {
		return err
	}
	defer r.copier.Close()
	r.lesson = &lesson{inv: inv, copier: r.copier}
	if inv.DryRun() {
		return r.script()
	}
	if r.digests, err = openDigestFile(inv); err != nil {
		return err
	}
	return errors.Join(r.run(ctx), r.digests.close())
}

// run copies what the operands say.
func (r *runner) run(ctx context.Context) error {
	inv := r.inv
	switch {
	case inv.Bool("batch"):
		return r.batch(ctx)
	case inv.Bool("tags"):
		return r.tags(ctx, inv.Operand(0), inv.Operand(1))
	default:
		return r.one(func(src, dst string) error { return r.copy(ctx, src, dst) })
	}
}

// mendEnvironment unsets an XDG_CONFIG_HOME that is set but empty: the image
// library would look for policy.json and registries.conf below the current
// directory, which may be a stranger's.
func mendEnvironment() {
	if dir, ok := os.LookupEnv("XDG_CONFIG_HOME"); ok && dir == "" {
		_ = os.Unsetenv("XDG_CONFIG_HOME")
	}
}
