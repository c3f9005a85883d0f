// Package explain describes what a tool does as commands that a person could
// type: while it happens (-x), or as a script in place of it (-n).
//
// The two forms have one source, the Step, so that the lesson and the script
// that CI runs cannot differ.
package explain

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Step is one action of a tool.
type Step struct {
	// Action says what is done, in a few words: "mount the overlay".
	Action string `json:"action"`
	// Command is the equivalent POSIX shell text; it may have many lines.
	// Empty for a step that a shell need not take.
	Command string `json:"command,omitempty"`
	// Why is the reason, in one line.
	Why string `json:"why,omitempty"`
	// Ref names the spec section or the kernel document behind it.
	Ref string `json:"ref,omitempty"`
}

// Form is how a Printer shows steps.
type Form int

const (
	// Trace is for people on stderr: "+ command", "# why (ref)".
	Trace Form = iota
	// Script is a POSIX sh script with the reasons as comments.
	Script
	// JSON is one object per step and line.
	JSON
)

// Printer prints steps. The nil Printer prints nothing, so that callers need
// not ask whether anybody listens.
type Printer struct {
	out   io.Writer
	form  Form
	color bool
	pause func(Step) error
	err   error
	begun bool
}

// NewPrinter prints to out in the form.
func NewPrinter(out io.Writer, form Form) *Printer { return &Printer{out: out, form: form} }

// Color turns on the terminal colours of Trace.
func (p *Printer) Color(on bool) { p.color = on }

// Pause has pause called before each step is taken; its error stops the tool.
func (p *Printer) Pause(pause func(Step) error) { p.pause = pause }

// Step prints the step, before the caller takes it. The first error sticks:
// it is returned by every later call, too.
func (p *Printer) Step(s Step) error {
	if p == nil {
		return nil
	}
	if p.err != nil {
		return p.err
	}
	if _, err := io.WriteString(p.out, p.text(s)); err != nil {
		p.err = fmt.Errorf("print step %q: %w", s.Action, err)
		return p.err
	}
	if p.pause != nil {
		p.err = p.pause(s)
	}
	return p.err
}

// Enabled reports whether anybody listens; use it before a costly Step.
func (p *Printer) Enabled() bool { return p != nil }

func (p *Printer) text(s Step) string {
	switch p.form {
	case JSON:
		line, err := json.Marshal(s)
		if err != nil {
			return fmt.Sprintf("{\"action\":%q}\n", s.Action)
		}
		return string(line) + "\n"
	case Script:
		return p.script(s)
	default:
		return p.trace(s)
	}
}

func (p *Printer) trace(s Step) string {
	var b strings.Builder
	if s.Command == "" {
		fmt.Fprintf(&b, "+ : %s\n", s.Action)
	}
	for line := range strings.Lines(s.Command) {
		line = strings.TrimSuffix(line, "\n")
		if p.color {
			line = "\x1b[1m" + line + "\x1b[0m"
		}
		fmt.Fprintf(&b, "+ %s\n", line)
	}
	if reason := s.reason(); reason != "" {
		if p.color {
			reason = "\x1b[2m" + reason + "\x1b[0m"
		}
		fmt.Fprintf(&b, "  # %s\n", reason)
	}
	return b.String()
}

func (p *Printer) script(s Step) string {
	var b strings.Builder
	if !p.begun {
		p.begun = true
		b.WriteString("#!/bin/sh\nset -eu\n")
	}
	fmt.Fprintf(&b, "\n# %s\n", oneLine(s.Action))
	if reason := s.reason(); reason != "" {
		fmt.Fprintf(&b, "# %s\n", reason)
	}
	if s.Command != "" {
		b.WriteString(strings.TrimSuffix(s.Command, "\n") + "\n")
	}
	return b.String()
}

func (s Step) reason() string {
	switch {
	case s.Ref == "":
		return oneLine(s.Why)
	case s.Why == "":
		return oneLine(s.Ref)
	default:
		return oneLine(s.Why + " (" + s.Ref + ")")
	}
}

// oneLine keeps text that may come from an image inside its comment line.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
