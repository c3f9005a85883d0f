// Package onecore keeps the Go scheduler on one processor, from the start of
// the process on. What a small tool does is a line of system calls; with more
// processors each goroutine that becomes ready wakes a thread to look for
// work, which finds none: a dozen switches, and a tenth of the whole. A
// program imports the package for this effect. $GOMAXPROCS goes before it.
package onecore

import (
	"runtime"
	"syscall"
)

// In an initialiser, and an early one (see package startup), because the
// change stops the world: that is cheap only as long as no thread runs but the
// first.
func init() { //nolint:gochecknoinits // see above
	if !chosen() {
		runtime.GOMAXPROCS(1)
	}
}

// Lift gives the process all processors, for work that is worth it.
func Lift() {
	if !chosen() {
		runtime.SetDefaultGOMAXPROCS()
	}
}

// chosen reports whether the user has said how many.
func chosen() bool {
	n, _ := syscall.Getenv("GOMAXPROCS")
	return n != ""
}
