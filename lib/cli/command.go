// Package cli is the shell around each binary: flags, help, messages, signals
// and exit statuses. It is the only package that knows urfave/cli, whose traps
// it shuts: usage errors never reach stdout, flags may stand anywhere, and the
// library never exits.
package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	_ "github.com/oci-plumbing/oci-plumbing/lib/startup" // for its effect
)

// Command describes one binary.
type Command struct {
	// Name is the name of the binary, "oci-unpack".
	Name string
	// Operands is the usage line behind the flags, "IMAGE [BUNDLE]".
	Operands string
	// Summary is one paragraph that says what the binary does.
	Summary string
	// Examples are three lines to type, each with what it is for.
	Examples []Example
	// Flags are those of this binary; Common is added to them.
	Flags []Flag
	// MaxOperands is the greatest number of operands; -1 for any.
	MaxOperands int
	// TrailingCommand allows a command behind "--". Without it what stands
	// there are operands.
	TrailingCommand bool
	// OwnFailure is the exit status of a failure of the binary itself, for
	// those that pass on the status of a program: 125. Zero means that the
	// kind of the error decides.
	OwnFailure int
	// OwnSignals leaves INT, TERM and HUP to Run; else they cancel its
	// context, and the exit status is 128 plus the signal.
	OwnSignals bool
	// Run does the work.
	Run func(ctx context.Context, inv *Invocation) error
}

// Example is a command line and what it is for.
type Example struct {
	Line string
	Why  string
}

// Stdio are the three streams of a process.
type Stdio struct {
	In  *os.File
	Out io.Writer
	Err io.Writer
}

// Process returns the streams of this process.
func Process() Stdio { return Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr} }

// AllFlags returns the flags of the command and the common ones. A flag of
// the command takes the place of a common one of the same name.
func (c *Command) AllFlags() []Flag {
	own := make(map[string]bool)
	for _, f := range c.Flags {
		for _, name := range namesOf(f) {
			own[name] = true
		}
	}
	all := append([]Flag{}, c.Flags...)
	for _, f := range Common() {
		if !own[namesOf(f)[0]] {
			all = append(all, f)
		}
	}
	return all
}

// Main runs the command with the words behind its name, and returns the exit
// status of the process.
func Main(c *Command, words []string, stdio Stdio) int {
	flags := c.AllFlags()
	log := newLog(c.Name, stdio.Err)
	args, err := permute(words, flags)
	if err != nil {
		return c.finish(log, err)
	}
	if !c.TrailingCommand {
		args.operands = append(args.operands, args.trailing...)
		args.trailing = nil
	}

	if slices.Contains(args.flags, "--help") || slices.Contains(args.flags, "--h") {
		// The library would print its own help for a flag of this name.
		return c.finish(log, c.help(stdio.Out))
	}
	given, err := durations(canonical(args.flags, flags), flags)
	if err != nil {
		return c.finish(log, err)
	}
	if slices.Contains(given, "--version") {
		return c.finish(log, printVersion(c.Name, stdio.Out, slices.Contains(given, "--json")))
	}
	ctx, stop := c.signals(log)
	defer stop()
	app := &cli.App{
		Name: c.Name, HelpName: c.Name, Flags: named(needed(flags, given)),
		HideHelp: true, HideHelpCommand: true, HideVersion: true,
		DisableSliceFlagSeparator: true,
		Writer:                    stdio.Err, ErrWriter: stdio.Err,
		OnUsageError:   func(_ *cli.Context, err error, _ bool) error { return fault.As(fault.ErrUsage, err) },
		ExitErrHandler: func(*cli.Context, error) {},
		Action: func(cc *cli.Context) error {
			return c.act(&Invocation{Context: cc, Stdio: stdio, Log: log, Command: c, Operands: args.operands, Trailing: args.trailing, Given: flagNames(given)})
		},
	}
	err = app.RunContext(ctx, append([]string{c.Name}, given...))
	if sig := signalOf(ctx); sig != nil && err != nil && !passesStatus(err) {
		err = fault.WithStatus(128+int(sig.number), sig)
	}
	return c.finish(log, err)
}

// passesStatus reports whether err already carries an exit status.
func passesStatus(err error) bool {
	var status *fault.Status
	return errors.As(err, &status)
}

// act checks the operands, and runs.
func (c *Command) act(inv *Invocation) error {
	if err := inv.Log.configure(inv); err != nil {
		return err
	}
	if i := slices.Index(inv.Operands, ""); i >= 0 {
		// Taken for no operand it would be read from standard input, or get
		// a place of the tool's choice.
		return inv.Usage(`operand %d is "": an empty word names nothing; is a variable of the shell not set?`, i+1)
	}
	if c.MaxOperands >= 0 && len(inv.Operands) > c.MaxOperands {
		return inv.Usage("unexpected operand %q", inv.Operands[c.MaxOperands])
	}
	if inv.Bool("dry-run") && inv.Bool("explain") {
		return inv.Usage("--dry-run and --explain exclude each other")
	}
	return c.Run(inv.Context.Context, inv)
}

// finish prints the error and its hints, and returns the exit status.
func (c *Command) finish(log *Log, err error) int {
	if err == nil {
		return 0
	}
	code := c.exitStatus(err)
	var status *fault.Status
	if errors.As(err, &status) && status.Err == nil {
		return code
	}
	log.fail(err, code)
	if errors.Is(err, fault.ErrUsage) && len(fault.Hints(err)) == 0 {
		log.hint("try '" + c.Name + " --help'")
	}
	return code
}

// exitStatus is the table of DESIGN section 3.
func (c *Command) exitStatus(err error) int {
	var status *fault.Status
	if errors.As(err, &status) {
		return status.Code
	}
	if c.OwnFailure != 0 {
		return c.OwnFailure
	}
	for kind, code := range map[error]int{fault.ErrUsage: 2, fault.ErrNotFound: 3, fault.ErrTemporary: 4, fault.ErrRefused: 5} {
		if errors.Is(fault.Kind(err), kind) {
			return code
		}
	}
	return 1
}
