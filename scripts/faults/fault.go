package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// kind is what strikes at a system call.
type kind string

const (
	kill   kind = "KILL"   // the process dies before the call
	term   kind = "TERM"   // the process is asked to end before the call
	enospc kind = "ENOSPC" // and the other errnos: the call fails so
	eio    kind = "EIO"
	emfile kind = "EMFILE"
	enomem kind = "ENOMEM"
	eintr  kind = "EINTR"
)

// classes are the system calls that are struck, in all their spellings: one
// that is left out would be a hole in the sweep.
var classes = map[string]string{
	"open":   "open,openat,openat2",
	"write":  "write,pwrite64,writev,copy_file_range,sendfile,splice",
	"rename": "rename,renameat,renameat2",
	"link":   "linkat,symlinkat",
	"unlink": "unlink,unlinkat",
	"mkdir":  "mkdir,mkdirat,mknodat",
	"sync":   "fsync,fdatasync,syncfs",
	"owner":  "fchown,fchownat,fchmod,fchmodat,utimensat,fsetxattr",
	"mount":  "mount,umount2,fsopen,fsconfig,fsmount,move_mount,open_tree,mount_setattr",
	"read":   "read,pread64,getdents64",
	"close":  "close",
	"lock":   "flock",
}

// kinds are the faults that make sense for a class.
var kinds = map[string][]kind{
	"open": {kill, term, emfile, enospc, eio}, "write": {kill, term, enospc, eio}, "rename": {kill, term, enospc, eio},
	"link": {kill, term, enospc}, "unlink": {kill, term, eio}, "mkdir": {kill, term, enospc}, "sync": {kill, term, eio, enospc},
	"owner": {kill, term, eio}, "mount": {kill, term, enomem}, "read": {kill, eio}, "close": {kill}, "lock": {kill, eintr},
}

// point is one fault at one call of one operation. Its string repeats it.
type point struct {
	op    string
	class string
	kind  kind
	n     int
}

func (p point) String() string { return fmt.Sprintf("%s:%s:%s:%d", p.op, p.class, p.kind, p.n) }

// outcome is how the struck process ended.
type outcome struct {
	struck bool
	status int // -1 when a signal ended it
	signal syscall.Signal
	stderr string
	stdout string
}

// strike runs the command under strace with the fault injected. When counts
// calls per thread, so that one N may strike in several.
func strike(ctx context.Context, dir string, p point, argv, env []string) (outcome, error) {
	trace := filepath.Join(dir, "trace")
	calls := classes[p.class]
	action := "error=" + string(p.kind)
	if p.kind == kill || p.kind == term {
		action = "signal=" + string(p.kind)
	}
	args := append([]string{"-f", "-qq", "--seccomp-bpf", "-o", trace, "-e", "trace=" + calls, "-e", fmt.Sprintf("inject=%s:%s:when=%d", calls, action, p.n)}, argv...)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "strace", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		return outcome{}, fmt.Errorf("the tool hangs: %w", ctx.Err())
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return outcome{}, err
	}
	out := outcome{stdout: stdout.String(), stderr: stderr.String()}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		out.status, out.signal = -1, ws.Signal()
	} else {
		out.status = cmd.ProcessState.ExitCode()
	}
	data, err := os.ReadFile(trace)
	if err != nil {
		return out, err
	}
	out.struck = strings.Contains(string(data), "(INJECTED)") || out.signal == syscall.SIGKILL || strings.Contains(string(data), "--- SIGTERM") || strings.Contains(string(data), "killed by SIGKILL")
	return out, os.Remove(trace)
}

// count runs the command once, and counts its calls of each class: the
// greatest number in any one thread, since that is how strace counts.
func count(dir string, argv, env []string) (map[string]int, error) {
	counts := make(map[string]int)
	trace := filepath.Join(dir, "trace")
	var all []string
	of := make(map[string]string)
	for class, calls := range classes {
		for call := range strings.SplitSeq(calls, ",") {
			all = append(all, call)
			of[call] = class
		}
	}
	cmd := exec.Command("strace", append([]string{"-f", "-qq", "--seccomp-bpf", "-o", trace, "-e", "trace=" + strings.Join(all, ",")}, argv...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s without a fault: %w\n%s", strings.Join(argv, " "), err, out)
	}
	data, err := os.ReadFile(trace)
	if err != nil {
		return nil, err
	}
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
	return counts, os.Remove(trace)
}
