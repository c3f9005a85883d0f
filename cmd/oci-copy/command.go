package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/pipe"
	"github.com/oci-plumbing/oci-plumbing/lib/transport"
)

func command() *cli.Command {
	return &cli.Command{
		Name:     "oci-copy",
		Operands: "SRC DST",
		Summary: "Copy an image from SRC to DST, each written TRANSPORT:NAME, and print DST when it is there, durably and verified. " +
			"Transports: " + strings.Join(transport.Transports(), " ") + ". SRC - reads the references of images from standard input; " +
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
	options, err := optionsOf(inv)
	if err != nil {
		return err
	}
	if len(inv.Operands) != 2 {
		return inv.Usage("want two operands, SRC and DST, got %d", len(inv.Operands))
	}
	copier, err := transport.New(*options)
	if err != nil {
		return err
	}
	src, dst := inv.Operand(0), inv.Operand(1)
	if err := inv.Records().Check(dst); err != nil {
		return err
	}
	if src != "-" {
		return copyOne(ctx, inv, copier, src, dst)
	}
	return inv.EachInput("-", func(rec pipe.Record) error {
		if rec.Image == "" {
			return fault.Usage("the record %q names no image", rec.Name())
		}
		return copyOne(ctx, inv, copier, rec.Image, dst)
	})
}

// mendEnvironment unsets an XDG_CONFIG_HOME that is set but empty: the image
// library would look for policy.json and registries.conf below the current
// directory, which may be a stranger's.
func mendEnvironment() {
	if dir, ok := os.LookupEnv("XDG_CONFIG_HOME"); ok && dir == "" {
		_ = os.Unsetenv("XDG_CONFIG_HOME")
	}
}

// copyOne copies one image and prints its record.
func copyOne(ctx context.Context, inv *cli.Invocation, copier *transport.Copier, src, dst string) error {
	result, err := copier.Copy(ctx, src, dst)
	if err != nil {
		return err
	}
	if path := inv.String("digestfile"); path != "" {
		if err := os.WriteFile(path, []byte(result.Digest), 0o644); err != nil { //nolint:gosec // a digest is no secret
			return fmt.Errorf("digest file: %w", err)
		}
	}
	if result.Reference == "" {
		inv.Log.Note("copied %s to standard output, digest %s", src, result.Digest)
		return nil
	}
	inv.Log.Detail("copied %s: digest %s, %d bytes in %s", src, result.Digest, result.Bytes(), result.Duration)
	if err := inv.Records().Write(recordOf(result)); err != nil {
		return errors.Join(err, result.Undo(context.WithoutCancel(ctx)))
	}
	return nil
}

// recordOf describes the image at its destination.
func recordOf(result *transport.Result) pipe.Record {
	return pipe.Record{
		Kind:   pipe.KindImage,
		Image:  result.Reference,
		Digest: result.Digest.String(),
		Extra: map[string]any{
			"mediaType": result.MediaType,
			"size":      result.Size,
			"bytes":     result.Bytes(),
			"blobs":     result.Blobs,
			"seconds":   result.Duration.Seconds(),
		},
	}
}
