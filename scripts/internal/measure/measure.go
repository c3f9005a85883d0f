// Package measure takes the time and the memory of programs, for the bench and
// the scale test.
package measure

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Sample is one run of a program.
type Sample struct {
	Wall time.Duration `json:"wall"`
	// CPU is user and system time of the process and its children.
	CPU time.Duration `json:"cpu"`
	// RSS is the greatest resident size, in KiB, of any one process. It is
	// never less than that of the measuring program itself: the kernel
	// counts the memory that a process had before exec(2).
	RSS int64 `json:"rss"`
}

// Run runs the command in dir and takes its time. A run that fails counts as
// no run: an error that ends early would be the fastest of all.
func Run(dir string, argv, env []string) (Sample, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	err := cmd.Run()
	s := Sample{Wall: time.Since(start)}
	if err != nil {
		return s, fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, Tail(out.String(), 2000))
	}
	s.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return s, errors.New("no resource usage from the kernel")
	}
	s.RSS = usage.Maxrss
	return s, nil
}

// Tail is the end of s, of at most n bytes.
func Tail(s string, n int) string {
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}

// Median returns the middle of the values that of takes from the samples.
func Median[T int64 | time.Duration](samples []Sample, of func(Sample) T) T {
	values := make([]T, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	slices.Sort(values)
	if len(values) == 0 {
		return 0
	}
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

// Settle waits for writeback to end, so that one run does not pay for what
// another wrote.
func Settle() { unix.Sync() }

// DropCaches empties the page cache, for cold runs.
func DropCaches() error {
	Settle()
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0)
}
