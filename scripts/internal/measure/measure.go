// Package measure takes the time and the memory of programs, for the bench and
// the scale test.
package measure

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Sample is one run of a program.
type Sample struct {
	Wall time.Duration `json:"wall"`
	// CPU is user and system time of the process and its children.
	CPU time.Duration `json:"cpu"`
	// RSS is the greatest resident size, in KiB, of any one process.
	RSS int64 `json:"rss"`
}

// Runner runs programs and measures them.
type Runner struct {
	dir, launch string
}

// NewRunner makes what it needs in dir. It is called from the top of the
// module.
func NewRunner(dir string) (*Runner, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	r := &Runner{dir: dir, launch: filepath.Join(dir, "launch")}
	return r, Command("go", "build", "-o", r.launch, "./scripts/internal/measure/launch")
}

// Run runs the command in dir and takes its time. A run that fails counts as
// no run: an error that ends early would be the fastest of all.
func (r *Runner) Run(dir string, argv, env []string) (s Sample, err error) {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return s, err
	}
	figures := filepath.Join(r.dir, "figures")
	cmd := exec.Command(r.launch, append([]string{figures, path}, argv...)...)
	if err := runIn(cmd, dir, env); err != nil {
		return s, err
	}
	data, err := os.ReadFile(figures)
	if err != nil {
		return s, err
	}
	var n [3]int64
	for i, word := range strings.Fields(string(data)) {
		if n[i], err = strconv.ParseInt(word, 10, 64); err != nil {
			return s, err
		}
	}
	return Sample{Wall: time.Duration(n[0]), CPU: time.Duration(n[1]), RSS: n[2]}, os.Remove(figures)
}

func runIn(cmd *exec.Cmd, dir string, env []string) error {
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, Tail(out.String(), 2000))
	}
	return nil
}

// ErrNoCounter tells that nothing here can count system calls.
var ErrNoCounter = errors.New("neither perf nor strace can count system calls here")

// Calls runs the command in dir and counts the system calls of all its
// processes. The counting costs time: such a run is not for the clock. perf
// counts in the kernel, strace stops the program at each call.
func (r *Runner) Calls(dir string, argv, env []string) (int64, error) {
	counts := filepath.Join(r.dir, "calls")
	defer func() { _ = os.Remove(counts) }()
	perf := []string{"stat", "-x", ",", "-o", counts, "-e", "raw_syscalls:sys_enter", "--"}
	if exec.Command("perf", append(perf, "true")...).Run() == nil {
		if err := runIn(exec.Command("perf", append(perf, argv...)...), dir, env); err != nil {
			return 0, err
		}
		return fieldOf(counts, ",", "raw_syscalls:sys_enter", 2, 0)
	}
	if _, err := exec.LookPath("strace"); err != nil {
		return 0, ErrNoCounter
	}
	if err := runIn(exec.Command("strace", append([]string{"-f", "-c", "-U", "calls,name", "-o", counts}, argv...)...), dir, env); err != nil {
		return 0, err
	}
	return fieldOf(counts, " ", "total", 1, 0)
}

// fieldOf reads a number from the line of a file that has the name in its
// field at.
func fieldOf(file, separator, name string, at, number int) (int64, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		fields := slices.DeleteFunc(strings.Split(strings.TrimSpace(line), separator), func(f string) bool { return f == "" && separator == " " })
		if len(fields) > at && fields[at] == name {
			return strconv.ParseInt(fields[number], 10, 64)
		}
	}
	return 0, fmt.Errorf("no count of calls in %q", Tail(string(data), 500))
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
