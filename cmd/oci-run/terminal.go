package main

import (
	"os"

	"golang.org/x/term"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/run"
)

// terminal is the decision about process.terminal, and the streams that go
// with it.
type terminal struct {
	on      bool
	streams run.Streams
}

// decideTerminal lets reality decide. The config says whether a terminal is
// wanted, --tty and --no-tty have the last word; but a terminal that nobody
// sits at cannot be given.
func (s *starter) decideTerminal() error {
	wanted := s.config.Spec.Process.Terminal
	switch {
	case s.Bool("tty"):
		wanted = true
	case s.Bool("no-tty"):
		wanted = false
	}
	if s.Bool("detach") {
		s.term.on = wanted
		return nil
	}
	stdout, _ := s.Out.(*os.File)
	stderr, _ := s.Err.(*os.File)
	s.term.streams = run.Streams{Stdin: s.In, Stdout: stdout, Stderr: stderr}
	if !wanted {
		return s.plainInput()
	}
	if s.input.stdinUsed && !s.Bool("stdin") {
		return s.reopenTerminal()
	}
	for _, f := range []*os.File{s.In, stdout, stderr} {
		if f != nil && term.IsTerminal(int(f.Fd())) {
			s.term.on, s.term.streams.TTY = true, f
			return nil
		}
	}
	if tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0); err == nil {
		s.term.on, s.term.streams.TTY = true, tty
		return nil
	}
	if s.Bool("tty") {
		return fault.Hint(fault.WithStatus(run.StatusFailed, errNoTerminal), "leave --tty out, or run it under script(1)")
	}
	s.Log.Detail("the config asks for a terminal, and there is none: running without")
	return s.plainInput()
}

var errNoTerminal = fault.Usage("a terminal is wanted, and there is none here")

// reopenTerminal gives the program the terminal behind the pipe that brought
// the record or the config.
func (s *starter) reopenTerminal() error {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return fault.Hint(fault.WithStatus(run.StatusFailed, errNoTerminal), "use oci-run --no-tty, or oci-genspec --tty=false")
	}
	s.term.on = true
	s.term.streams.Stdin, s.term.streams.TTY = tty, tty
	return nil
}

// plainInput is standard input itself, or nothing when that has served for
// something else.
func (s *starter) plainInput() error {
	if !s.input.stdinUsed || s.Bool("stdin") {
		return nil
	}
	nothing, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	s.term.streams.Stdin = nothing
	return nil
}

// guestStreams are the streams of --attach.
func guestStreams(inv *cli.Invocation) run.Streams {
	stdout, _ := inv.Out.(*os.File)
	s := run.Streams{Stdin: inv.In, Stdout: stdout}
	if inv.StdinIsTerminal() {
		s.TTY = inv.In
	}
	return s
}
