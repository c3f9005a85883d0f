package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
)

// help prints the whole help on out: it was asked for.
func (c *Command) help(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "usage: %s [FLAG...] %s\n\n%s\n\nflags:\n", c.Name, c.Operands, fill(c.Summary, 78))
	for _, f := range c.AllFlags() {
		if v, ok := f.(cli.VisibleFlag); ok && !v.IsVisible() {
			continue
		}
		b.WriteString(flagHelp(f))
	}
	b.WriteString("\nexamples:\n")
	for _, e := range c.Examples {
		fmt.Fprintf(&b, "  %s\n      %s\n", e.Line, e.Why)
	}
	fmt.Fprintf(&b, "\nexit status: %s\nsee %s(1), oci-pipeline(7)\n", c.statusLine(), c.Name)
	_, err := io.WriteString(out, b.String())
	return err
}

func (c *Command) statusLine() string {
	if c.OwnFailure != 0 {
		return "the program's own; 125 failure of " + c.Name + ", 126 not executable, 127 not found, 128+n killed by signal n"
	}
	return "0 done, 1 failed, 2 usage, 3 not found, 4 temporary, 5 refused"
}

func flagHelp(f Flag) string {
	var names []string
	for _, name := range f.Names() {
		if len(name) == 1 {
			names = append([]string{"-" + name}, names...)
		} else {
			names = append(names, "--"+name)
		}
	}
	doc, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return "  " + strings.Join(names, ", ") + "\n"
	}
	value, usage := Placeholder(doc.GetUsage())
	head := strings.Join(names, ", ")
	if doc.TakesValue() {
		if value == "" {
			value = "VALUE"
		}
		head += " " + value
	}
	if d := defaultText(doc); d != "" {
		usage += " (default " + d + ")"
	}
	const column = 32
	text := fill(usage, 78-6)
	if len(head)+4 < column && !strings.Contains(text, "\n") && len(text) < 90-column {
		return fmt.Sprintf("  %-*s%s\n", column-2, head, text)
	}
	return "  " + head + "\n      " + strings.ReplaceAll(text, "\n", "\n      ") + "\n"
}

func defaultText(doc cli.DocGenerationFlag) string {
	if !doc.TakesValue() {
		return ""
	}
	text := doc.GetDefaultText()
	if text == `""` || text == "0" || text == "0s" || text == "[]" {
		return ""
	}
	return text
}

// Placeholder takes the name in backquotes out of a usage text, as the flag
// library's own help does: "state directory `DIR`" is DIR, and the text.
func Placeholder(usage string) (name, text string) {
	before, rest, ok := strings.Cut(usage, "`")
	if !ok {
		return "", usage
	}
	name, after, ok := strings.Cut(rest, "`")
	if !ok {
		return "", usage
	}
	return name, before + name + after
}

// fill breaks text into lines of at most width bytes.
func fill(text string, width int) string {
	var b strings.Builder
	column := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case column+1+len(word) > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}
