// Command oci-genspec makes the config.json of a bundle out of its image, a
// profile of defaults, and flags named as those of podman and docker. Given a
// config.json it changes just what the flags ask for.
package main

import (
	"os"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	_ "github.com/oci-plumbing/oci-plumbing/lib/startup/calm"    // for its effect
	_ "github.com/oci-plumbing/oci-plumbing/lib/startup/onecore" // for its effect
)

func main() { os.Exit(cli.Main(command(), os.Args[1:], cli.Process())) }
