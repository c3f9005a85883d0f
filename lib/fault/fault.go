// Package fault gives errors a kind and a cure.
//
// The kinds are those that a caller of the binaries can act on: the input is
// not there, a retry may help, the input is refused, the command line is
// wrong. Packages below lib/ wrap their errors with a kind where they know it;
// lib/cli turns the kind into the exit status, and prints the hints.
package fault

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
)

// The kinds of failure. Test for them with errors.Is. An error of no kind is
// a plain failure (exit status 1).
var (
	// ErrUsage is a command line that cannot be meant (exit status 2).
	ErrUsage = errors.New("usage")
	// ErrNotFound is an input that does not exist (exit status 3).
	ErrNotFound = errors.New("not found")
	// ErrTemporary is a failure that a retry may mend (exit status 4).
	ErrTemporary = errors.New("temporary")
	// ErrRefused is malformed or hostile input (exit status 5).
	ErrRefused = errors.New("refused")
)

// kinded is an error with a kind that does not show in its message.
type kinded struct {
	kind error
	err  error
}

func (e *kinded) Error() string   { return e.err.Error() }
func (e *kinded) Unwrap() []error { return []error{e.err, e.kind} }

// As gives err the kind. It returns nil for a nil err, and keeps the kind of
// an error that has one already: the place nearest to the cause knows best.
func As(kind, err error) error {
	if err == nil || Kind(err) != nil {
		return err
	}
	return &kinded{kind: kind, err: err}
}

// Usage formats an error of kind ErrUsage.
func Usage(format string, args ...any) error { return As(ErrUsage, fmt.Errorf(format, args...)) }

// NotFound formats an error of kind ErrNotFound.
func NotFound(format string, args ...any) error { return As(ErrNotFound, fmt.Errorf(format, args...)) }

// Temporary formats an error of kind ErrTemporary.
func Temporary(format string, args ...any) error {
	return As(ErrTemporary, fmt.Errorf(format, args...))
}

// Refused formats an error of kind ErrRefused.
func Refused(format string, args ...any) error { return As(ErrRefused, fmt.Errorf(format, args...)) }

// Kind returns the kind of err, or nil when it has none.
func Kind(err error) error {
	for _, kind := range []error{ErrUsage, ErrRefused, ErrNotFound, ErrTemporary} {
		if errors.Is(err, kind) {
			return kind
		}
	}
	return nil
}

// hinted is an error with a cure.
type hinted struct {
	err  error
	hint string
}

func (e *hinted) Error() string { return e.err.Error() }
func (e *hinted) Unwrap() error { return e.err }

// Hint adds to err a line that says what to type. In it {tool} stands for the
// name of the binary. A nil err stays nil.
func Hint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &hinted{err: err, hint: fmt.Sprintf(format, args...)}
}

// Hints returns the hints of err and of all it wraps, the innermost first; where
// there is none, the cure of what the kernel said.
func Hints(err error) []string {
	var hints []string
	walk(err, func(e error) {
		if h, ok := e.(*hinted); ok { //nolint:errorlint // walk visits each error itself
			hints = append(hints, h.hint)
		}
	})
	if cure := cure(err); len(hints) == 0 && cure != "" {
		return []string{cure}
	}
	return hints
}

// cure is for what can happen wherever a file is written, so that no caller
// need think of it.
func cure(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return "make room on that file system, for bytes (df -h) or for files (df -i), or name a directory on another one"
	case errors.Is(err, syscall.EDQUOT):
		return "make room within the quota (quota -s), or name a directory on another file system"
	case errors.Is(err, syscall.EROFS):
		return "name a directory on a file system that can be written"
	case errors.Is(err, syscall.EMFILE):
		return "raise the limit of open files: ulimit -n 4096"
	default:
		return ""
	}
}

// walk visits the tree of wrapped errors, children before parents.
func walk(err error, visit func(error)) {
	if err == nil {
		return
	}
	switch e := err.(type) { //nolint:errorlint // the tree is what is wanted
	case interface{ Unwrap() error }:
		walk(e.Unwrap(), visit)
	case interface{ Unwrap() []error }:
		for _, child := range e.Unwrap() {
			walk(child, visit)
		}
	}
	visit(err)
}

// several are failures of which none is the cause of another.
type several []error

func (s several) Error() string   { return errors.Join(s...).Error() }
func (s several) Unwrap() []error { return s }

// Several collects the failures of things that were tried one after the other,
// for Split to part them again. Nils do not count.
func Several(errs ...error) error {
	errs = slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return err == nil })
	switch len(errs) {
	case 0:
		return nil
	case 1:
		return errs[0]
	}
	return several(errs)
}

// Split returns what Several has collected, or else the error itself.
func Split(err error) []error {
	if s, ok := err.(several); ok { //nolint:errorlint // wrapped they are parts of one failure
		return s
	}
	return []error{err}
}

// Status is an error that asks for an exit status of its own. It is for
// oci-run and the chain forms (125, 126, 127, and the program's own status).
type Status struct {
	Code int
	// Err is what to print; nil prints nothing, since the program that
	// ended with Code has spoken for itself.
	Err error
}

func (s *Status) Error() string {
	if s.Err == nil {
		return fmt.Sprintf("exit status %d", s.Code)
	}
	return s.Err.Error()
}

// Unwrap returns what is printed, so that kinds and hints below it are found.
func (s *Status) Unwrap() error { return s.Err }

// Exit asks for the exit status code with nothing printed. Exit(0) is nil.
func Exit(code int) error {
	if code == 0 {
		return nil
	}
	return &Status{Code: code}
}

// WithStatus makes err end the process with the status code.
func WithStatus(code int, err error) error {
	if err == nil {
		return nil
	}
	return &Status{Code: code, Err: err}
}
