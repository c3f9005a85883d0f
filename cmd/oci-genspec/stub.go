package main

import (
	"context"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/spec"
)

func diff(inv *cli.Invocation) error { return fault.Usage("not yet") }

func check(ctx context.Context, inv *cli.Invocation) error { return fault.Usage("not yet") }

func fillVolumes(src *source, res *spec.Result) error { return nil }
