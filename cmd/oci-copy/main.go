// Command oci-copy moves container images between registries, OCI layouts,
// archives and directories.
package main

import (
	"os"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/transport"
)

func main() {
	if transport.Reexec() {
		return
	}
	os.Exit(cli.Main(command(), os.Args[1:], cli.Process()))
}
