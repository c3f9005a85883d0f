// Oci-commit turns what changed in a bundle into a layer, and the layer into a
// new image in an OCI layout.
package main

import (
	"os"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
)

func main() { os.Exit(cli.Main(command(), os.Args[1:], cli.Process())) }
