// Command oci-unpack makes a bundle out of an image in an OCI layout: the
// merged tree of its layers, and an mtree manifest of it.
package main

import (
	"os"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/confine"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == confine.Argument {
		os.Exit(confine.Serve(os.Stdin, unpackConfined))
	}
	os.Exit(cli.Main(command(), os.Args[1:], cli.Process()))
}
