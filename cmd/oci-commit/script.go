package main

import "github.com/oci-plumbing/oci-plumbing/lib/changeset"

func (c *commit) script(*source, *draft, *changeset.Tree) error { return nil }
