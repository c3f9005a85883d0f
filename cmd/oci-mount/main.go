// Command oci-mount makes a bundle whose rootfs is a copy-on-write mount of an
// image.
package main

import (
	"os"
	"path/filepath"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/confine"
	_ "github.com/oci-plumbing/oci-plumbing/lib/startup/calm" // for its effect
	"github.com/oci-plumbing/oci-plumbing/lib/startup/onecore"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == confine.Argument {
		onecore.Lift()
		os.Exit(confine.Serve(os.Stdin, fillConfined))
	}
	if len(os.Args) > 1 && os.Args[1] == insideWord {
		os.Exit(cli.Main(insideCommand(), os.Args[2:], cli.Process()))
	}
	os.Exit(cli.Main(command(), os.Args[1:], cli.Process()))
}

// ownWords are the words that this process was started with. The binary is
// found as /proc/self/exe; its name is how it was called.
func ownWords() []string { return os.Args }

func ownName() string { return filepath.Base(os.Args[0]) }
