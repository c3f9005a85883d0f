package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/changeset"
)

// list prints the changes as `docker diff` does: a letter and a path.
func (c *commit) list(tree *changeset.Tree) error {
	if tree == nil {
		return nil
	}
	out := bufio.NewWriter(c.inv.Out)
	end := "\n"
	if c.inv.Bool("null") {
		end = "\x00"
	}
	err := tree.Each(func(path string, n *changeset.Node) error {
		if c.inv.Bool("json") {
			line, err := json.Marshal(map[string]string{"change": n.Kind.String(), "path": path})
			if err != nil {
				return fmt.Errorf("encode change: %w", err)
			}
			_, err = out.WriteString(string(line) + end)
			return err
		}
		if end == "\n" && strings.Contains(path, "\n") {
			return c.inv.Usage("%q contains a newline: use -0 or --json", path)
		}
		_, err := out.WriteString(n.Kind.String() + " " + path + end)
		return err
	})
	if err != nil {
		return err
	}
	c.warn(tree)
	if err := out.Flush(); err != nil {
		return fmt.Errorf("print changes: %w", err)
	}
	return nil
}
