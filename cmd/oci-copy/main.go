// Command oci-copy moves container images between registries, OCI layouts,
// archives and directories.
package main

import (
	"os"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
)

func main() { os.Exit(cli.Main(command(), os.Args[1:], cli.Process())) }
