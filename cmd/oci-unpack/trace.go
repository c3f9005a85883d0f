package main

import (
	"context"
	"errors"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/layer"
)

// tracer explains what the layers do.
type tracer struct{}

func newTracer(*cli.Invocation, *plan) *tracer { return &tracer{} }

func (t *tracer) listens() bool           { return false }
func (t *tracer) entry(*layer.TraceEntry) {}
func (t *tracer) end() error              { return nil }

func printScript(context.Context, *cli.Invocation, plan) error { return errors.New("not yet") }
