// Command launch runs a program and writes its wall time, its CPU time (both in
// nanoseconds) and its peak memory (in KiB) into a file. The kernel counts to a
// program's peak that of the process that it was forked from; this one is
// small.
package main

import (
	"os"
	"strconv"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) < 4 {
		os.Exit(2)
	}
	os.Exit(launch(os.Args[1], os.Args[2], os.Args[3:]))
}

// launch runs the program at path with argv, and returns its status.
func launch(out, path string, argv []string) int {
	start := time.Now()
	pid, err := syscall.ForkExec(path, argv, &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}})
	if err != nil {
		return fail(err)
	}
	var status syscall.WaitStatus
	var usage syscall.Rusage
	for {
		if _, err = syscall.Wait4(pid, &status, 0, &usage); err != syscall.EINTR {
			break
		}
	}
	wall := time.Since(start)
	if err != nil {
		return fail(err)
	}
	cpu := usage.Utime.Nano() + usage.Stime.Nano()
	line := strconv.FormatInt(wall.Nanoseconds(), 10) + " " + strconv.FormatInt(cpu, 10) + " " + strconv.FormatInt(usage.Maxrss, 10) + "\n"
	if err := os.WriteFile(out, []byte(line), 0o600); err != nil {
		return fail(err)
	}
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

func fail(err error) int {
	_, _ = os.Stderr.WriteString("launch: error: " + err.Error() + "\n")
	return 125
}
