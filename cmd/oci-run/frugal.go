package main

import "runtime/debug"

// heapLimit is more than this program ever needs, but for a config.json of the
// greatest size allowed.
const heapLimit = 64 << 20

// frugal fits the Go runtime to a program that works for milliseconds and then
// waits: no garbage collection below the limit.
func frugal() {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(heapLimit)
}
