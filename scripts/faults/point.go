package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
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
	"open": {kill, term, emfile, enospc, eio, enomem}, "write": {kill, term, enospc, eio}, "rename": {kill, term, enospc, eio},
	"link": {kill, term, enospc}, "unlink": {kill, term, eio}, "mkdir": {kill, term, enospc, enomem}, "sync": {kill, term, eio, enospc},
	"owner": {kill, term, eio}, "mount": {kill, term, enomem}, "read": {kill, eio}, "close": {kill, term}, "lock": {kill, eintr},
}

// point is one fault at one call of one operation. Its string repeats it.
type point struct {
	op    string
	class string
	kind  kind
	n     int
}

func (p point) String() string { return fmt.Sprintf("%s:%s:%s:%d", p.op, p.class, p.kind, p.n) }

func parsePoint(s string) (trial, error) {
	parts := strings.Split(s, ":")
	if len(parts) != 4 || classes[parts[1]] == "" {
		return nil, fmt.Errorf("%q is not OP:CLASS:KIND:N", s)
	}
	n, err := strconv.Atoi(parts[3])
	return point{op: parts[0], class: parts[1], kind: kind(parts[2]), n: n}, err
}

// try strikes once, checks, runs again without a fault, and checks again. A
// call that this run does not reach, since its work fell to other threads, is
// replaced by an earlier one.
func (p point) try(ctx context.Context, s *sweep) (struck bool, err error) {
	for ; p.n > 0 && !struck && ctx.Err() == nil; p.n /= 2 {
		if struck, err = p.once(ctx, s); err != nil {
			return struck, fmt.Errorf("at call %d: %w", p.n, err)
		}
	}
	return struck, nil
}

func (p point) once(ctx context.Context, s *sweep) (struck bool, err error) {
	i := slices.IndexFunc(operations, func(op operation) bool { return op.name == p.op })
	if i < 0 {
		return false, fmt.Errorf("no operation %q", p.op)
	}
	op := operations[i]
	e, done, err := s.env(op)
	if err != nil {
		return false, err
	}
	defer done()
	out, err := strike(ctx, e, p, op)
	if errors.Is(err, errUnreal) {
		return false, nil
	}
	if err != nil {
		return out.struck, err
	}
	return out.struck, errors.Join(honest(p, out), hold(op, e, out))
}

// hold checks what must hold after a blow, whatever it was: now, and after
// another run.
func hold(op operation, e *env, out outcome) error {
	if err := op.check(e, out.status == 0); err != nil {
		return fmt.Errorf("after the blow (status %d, %s): %w", out.status, strings.TrimSpace(out.stderr), err)
	}
	if err := again(op, e, out.status == 0); err != nil {
		return fmt.Errorf("the next run (the blow ended with status %d, %s): %w", out.status, strings.TrimSpace(out.stderr), err)
	}
	return nil
}

// honest checks what the struck tool said: a failure has one clear line, and
// only a success prints a record.
func honest(p point, out outcome) error {
	switch {
	case out.signal == syscall.SIGKILL || out.status == 137:
		return nil
	case out.signal == syscall.SIGTERM, p.op == "run" && p.kind == term:
		// It had not yet asked to be told, or it ended as the program did.
		return nil
	case strings.Contains(out.stderr, "netpollBreak write failed"):
		// The blow struck the Go runtime's own eventfd, whose write cannot
		// fail so on a real kernel.
		return nil
	case strings.Contains(out.stderr, "panic:") || strings.Contains(out.stderr, "goroutine "):
		return fmt.Errorf("the tool panicked: %s", out.stderr)
	case p.class == "write" && out.stderr == "":
		// The blow struck the error line itself.
		return nil
	case out.status != 0 && !strings.Contains(out.stderr, ": error: "):
		return fmt.Errorf("status %d without an error line: %q", out.status, out.stderr)
	case out.status != 0 && out.stdout != "" && p.class != "close" && !strings.HasPrefix(p.op, "run"):
		return fmt.Errorf("status %d, and yet a record: %q", out.status, out.stdout)
	}
	return nil
}

// again runs the operation without a fault: it must succeed, or say that what
// it shall make is there already, and leave nothing behind.
func again(op operation, e *env, done bool) error {
	if !done && (op.made == nil || !op.made(e)) {
		if err := e.do(op.argv(e)...); err != nil {
			return err
		}
		if err := op.check(e, true); err != nil {
			return err
		}
	}
	if op.tidy != nil {
		if err := op.tidy(e); err != nil {
			return err
		}
	}
	return leaks(e)
}
