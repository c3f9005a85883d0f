// Command oci-run launches a bundle through an OCI runtime.
package main

import (
	"os"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	_ "github.com/oci-plumbing/oci-plumbing/lib/startup/calm"    // for its effect
	_ "github.com/oci-plumbing/oci-plumbing/lib/startup/onecore" // for its effect
)

func main() {
	frugal()
	if code, done := hidden(os.Args); done {
		os.Exit(code)
	}
	os.Exit(cli.Main(command(), os.Args[1:], cli.Process()))
}
