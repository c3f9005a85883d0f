package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/pipe"
)

// Invocation is one run of a command: its flags (by the methods Bool, String,
// StringSlice, Int, Duration, IsSet, Count of the embedded context), operands
// and streams.
type Invocation struct {
	*cli.Context
	Stdio
	*Command
	// Log prints messages on stderr.
	Log *Log
	// Operands are the words that are not flags.
	Operands []string
	// Trailing is the command behind "--"; nil when there was no "--".
	Trailing []string
	// Given are the names of the flags of the command line; IsSet knows those of
	// the environment, too.
	Given []string
	steps *explain.Printer
}

// Operand returns operand i, or "" when there are fewer.
func (inv *Invocation) Operand(i int) string {
	if i < len(inv.Operands) {
		return inv.Operands[i]
	}
	return ""
}

// Usage formats a usage error with the usage line as its hint.
func (inv *Invocation) Usage(format string, args ...any) error {
	return fault.Hint(fault.Usage(format, args...), "usage: %s [FLAG...] %s", inv.Name, inv.Command.Operands)
}

// CheckBeside refuses, beside a flag that asks for something else than usual,
// those that would be ignored: all but the ones that it takes, and those about
// messages and records.
func (inv *Invocation) CheckBeside(flag string, takes ...string) error {
	takes = append([]string{flag, "quiet", "verbose", "log-format", "color", "json", "null", "root"}, takes...)
	for _, given := range inv.Given {
		if !slices.Contains(takes, given) {
			return inv.Usage("--%s does not go with --%s", given, flag)
		}
	}
	return nil
}

// Records returns the printer of records on stdout, as --json and -0 ask.
func (inv *Invocation) Records() *pipe.Writer {
	return pipe.NewWriter(pipe.Ready(inv.Context.Context, inv.Out), inv.Bool("json"), inv.Bool("null"))
}

// Input is standard input, the reading of which ends with the invocation.
func (inv *Invocation) Input() io.Reader { return pipe.Input(inv.Context.Context, inv.In) }

// EachInput calls do for each input of the stage: once for the operand when it
// is there, else for each record on stdin. It stops at the first error. No
// operand and a terminal on stdin is a usage error, never a hang.
func (inv *Invocation) EachInput(operand string, do func(pipe.Record) error) error {
	if operand != "" && operand != "-" {
		rec, err := pipe.Parse([]byte(operand))
		if err != nil {
			return fault.As(fault.ErrUsage, fmt.Errorf("operand: %w", err))
		}
		return do(rec)
	}
	if operand == "" && inv.StdinIsTerminal() {
		return inv.Usage("no operand, and standard input is a terminal")
	}
	records := pipe.NewReader(inv.Input(), inv.Bool("null"))
	for {
		rec, err := records.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := do(rec); err != nil {
			return err
		}
	}
}

// StdinIsTerminal asks once, at the edge, so that tests can give a file.
func (inv *Invocation) StdinIsTerminal() bool {
	return inv.In != nil && term.IsTerminal(int(inv.In.Fd()))
}

// StdoutIsTerminal reports whether records go to a person.
func (inv *Invocation) StdoutIsTerminal() bool { return isTerminal(inv.Out) }

// StderrIsTerminal reports whether progress can be drawn.
func (inv *Invocation) StderrIsTerminal() bool { return isTerminal(inv.Err) }

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// NamesStdout reports whether a file for output is standard output under one of
// its names. Where the shell has sent that to a file, they lead to a regular
// one, which is not to be replaced.
func NamesStdout(file string) bool {
	return slices.Contains([]string{"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"}, file)
}

// Root is the state directory: --root, $OCI_ROOT, or the default of the user.
func (inv *Invocation) Root() (string, error) {
	if root := inv.String("root"); root != "" {
		return filepath.Abs(root)
	}
	if owner() == 0 {
		return "/var/lib/oci-plumbing", nil
	}
	data := os.Getenv("XDG_DATA_HOME")
	if !filepath.IsAbs(data) {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fault.Hint(fmt.Errorf("find the state directory: %w", err), "name one with --root DIR")
		}
		data = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(data, "oci-plumbing"), nil
}

// RunRoot is the directory of run state, which a reboot may clear.
func RunRoot() string {
	uid := owner()
	if uid == 0 {
		return "/run/oci-plumbing"
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "oci-plumbing")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("oci-plumbing-%d", uid))
}

// DryRun reports whether -n was given.
func (inv *Invocation) DryRun() bool { return inv.Bool("dry-run") }

// Steps returns the printer of steps: a script on stdout with -n, a trace on
// stderr with -x, and nil, which prints nothing, otherwise. It is the same one
// each time: a script has one beginning.
func (inv *Invocation) Steps() *explain.Printer {
	if inv.steps == nil {
		inv.steps = inv.newSteps()
	}
	return inv.steps
}

func (inv *Invocation) newSteps() *explain.Printer {
	switch {
	case inv.DryRun():
		return explain.NewPrinter(inv.Out, explain.Script)
	case !inv.Bool("explain") && !inv.Bool("step"):
		return nil
	}
	form := explain.Trace
	if inv.Log.json {
		form = explain.JSON
	}
	p := explain.NewPrinter(inv.Err, form)
	p.Color(inv.Log.color)
	if inv.Bool("step") {
		p.Pause(func(explain.Step) error { return waitForEnter(inv.Context.Context) })
	}
	return p
}

// waitForEnter asks on the terminal itself: stdin and stdout are the pipe's.
// A signal ends the waiting.
func waitForEnter(ctx context.Context) error {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return fault.Hint(fmt.Errorf("wait for Enter: %w", err), "--step needs a terminal; use -x without it")
	}
	defer tty.Close()
	defer context.AfterFunc(ctx, func() { _ = tty.SetReadDeadline(time.Now()) })()
	if _, err := tty.WriteString("-- Enter to go on, Ctrl-C to stop --"); err != nil {
		return fmt.Errorf("wait for Enter: %w", err)
	}
	if _, err := bufio.NewReader(tty).ReadString('\n'); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("wait for Enter: %w", err)
	}
	return nil
}
