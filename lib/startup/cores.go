package startup

import (
	"os"
	"runtime"
)

// OneCore makes the scheduler run one goroutine at a time. What a small tool
// does is a line of system calls; with more processors each goroutine that
// becomes ready wakes a thread to look for work, which finds none: a dozen
// switches, and a tenth of the whole. $GOMAXPROCS goes before it.
func OneCore() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
}
