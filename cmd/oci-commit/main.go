// Oci-commit turns what changed in a bundle into a layer, and the layer into a
// new image in an OCI layout.
package main

import (
	"os"
	"runtime/debug"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
)

func main() {
	// The manifest of a large image passes through memory line by line. A
	// tighter collector keeps the peak low, and costs next to nothing.
	debug.SetGCPercent(50)
	os.Exit(cli.Main(command(), os.Args[1:], cli.Process()))
}
