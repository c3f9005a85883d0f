package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// outcome is how the struck process ended.
type outcome struct {
	struck bool
	status int // -1 when a signal ended it
	signal syscall.Signal
	stderr string
	stdout string
}

// patience is how long a tool may take; then it hangs.
const patience = 2 * time.Minute

// tracer is strace's command line for an operation. Calls are counted for each
// thread, and few threads make the counts those of the program. strace's own
// seccomp filter is faster, but nothing is injected behind one that the tool
// sets up for itself, a runtime that is let go would be left with it, and with
// it strace 6.1 sends a signal at the first call or not at all.
func tracer(op operation, trace, calls string, signal bool) []string {
	argv := []string{"strace", "-f", "-qq", "-o", trace, "-e", "trace=" + calls}
	switch {
	case op.runs:
		// The runtime and the container are not what is tested.
		return append(argv, "-b", "execve")
	case op.confined || signal:
		return argv
	default:
		return append(argv, "--seccomp-bpf")
	}
}

// strike runs the operation under strace with the fault injected. When counts
// calls per thread, so that one N may strike in several.
func strike(ctx context.Context, e *env, p point, op operation) (outcome, error) {
	trace := e.path("trace")
	calls := classes[p.class]
	action, signal := "error="+string(p.kind), p.kind == kill || p.kind == term
	if signal {
		action = "signal=" + string(p.kind)
	}
	argv := append(tracer(op, trace, calls, signal), "-e", fmt.Sprintf("inject=%s:%s:when=%d", calls, action, p.n))
	out, err := e.run(ctx, append(argv, op.argv(e)...)...)
	data, readErr := os.ReadFile(trace)
	text := string(data)
	if errors.Is(err, context.DeadlineExceeded) && execPipe.MatchString(text) {
		return out, errUnreal
	}
	if err := errors.Join(err, readErr); err != nil {
		return out, err
	}
	out.struck = out.signal == syscall.SIGKILL || slices.ContainsFunc([]string{"(INJECTED)", "--- SIGTERM", "killed by SIGKILL"},
		func(sign string) bool { return strings.Contains(text, sign) })
	return out, os.Remove(trace)
}

// execPipe is a blow at the pipe of eight bytes over which the Go runtime's fork
// learns that the new process has executed its program. After an error there it
// waits for that process to end, which waits for what it is to be told.
var execPipe = regexp.MustCompile(`(?m)read\(\d+, 0x[0-9a-f]+, 8\) += -1 EIO .*\(INJECTED\)$`)

// errUnreal tells that the blow struck what cannot fail so on a real kernel, and
// nothing was learned.
var errUnreal = errors.New("the blow struck a pipe of the Go runtime")

// count runs the operation once, and counts its calls of each class: the
// greatest number in any one thread, since that is how strace counts.
func (s *sweep) count(op operation) (map[string]int, error) {
	e, done, err := s.env(op)
	if err != nil {
		return nil, err
	}
	defer done()
	trace := e.path("trace")
	var all []string
	of := make(map[string]string)
	for class, calls := range classes {
		for call := range strings.SplitSeq(calls, ",") {
			all = append(all, call)
			of[call] = class
		}
	}
	if err := e.do(append(tracer(op, trace, strings.Join(all, ","), false), op.argv(e)...)...); err != nil {
		return nil, fmt.Errorf("without a fault: %w", err)
	}
	data, err := os.ReadFile(trace)
	if err != nil {
		return nil, err
	}
	counts := make(map[string]int)
	perThread := make(map[string]int)
	for line := range strings.Lines(string(data)) {
		pid, rest, _ := strings.Cut(line, " ")
		call, _, ok := strings.Cut(strings.TrimSpace(rest), "(")
		if !ok || of[call] == "" {
			continue
		}
		key := pid + " " + call
		perThread[key]++
		counts[of[call]] = max(counts[of[call]], perThread[key])
	}
	if op.tidy != nil {
		err = op.tidy(e)
	}
	return counts, err
}

// run runs a command in the directory of the point, marked so that its
// processes can be told from others.
func (e *env) run(ctx context.Context, argv ...string) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = e.dir
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "TMPDIR="+e.path("tmp"), e.mark())
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	out := outcome{stdout: stdout.String(), stderr: stderr.String()}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		e.end() // strace's end is not that of what it traced
		return out, fmt.Errorf("the tool hangs: %w: %s", ctx.Err(), out.stderr)
	case errors.Is(err, exec.ErrWaitDelay):
		return out, fmt.Errorf("a process lives on with the tool's output: %w", err)
	case err != nil && !errors.As(err, &exit):
		return out, err
	}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		out.status, out.signal = -1, ws.Signal()
	} else {
		out.status = cmd.ProcessState.ExitCode()
	}
	return out, nil
}

// do runs a command without faults.
func (e *env) do(argv ...string) error {
	out, err := e.run(context.Background(), argv...)
	if err == nil && (out.status != 0 || out.signal != 0) {
		err = fmt.Errorf("status %d: %s%s", out.status, out.stdout, out.stderr)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
	}
	return nil
}
