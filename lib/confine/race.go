//go:build race

package confine

// raceDetector: it comes with cgo, under which no system call reaches all
// threads. That a test process keeps its capabilities is better than no test.
const raceDetector = true
