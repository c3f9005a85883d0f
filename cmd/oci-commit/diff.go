package main

import "github.com/oci-plumbing/oci-plumbing/lib/changeset"

// list prints the changes as `docker diff` does: a letter and a path.
func (c *commit) list(tree *changeset.Tree) error {
	if tree == nil {
		return nil
	}
	changes := c.inv.Records().Changes()
	err := tree.Each(func(path string, n *changeset.Node) error { return changes.Add(n.Kind.String(), path) })
	if err != nil {
		return err
	}
	c.warn(tree)
	return changes.Print()
}
