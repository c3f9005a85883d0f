package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// Log prints messages on stderr, one line each, safe for concurrent use.
type Log struct {
	mu    sync.Mutex
	name  string
	out   io.Writer
	level int // -1 quiet, 0 normal, 1 and more verbose
	json  bool
	color bool
}

func newLog(name string, out io.Writer) *Log { return &Log{name: name, out: out} }

// configure takes the flags -q, -v, --log-format and --color.
func (l *Log) configure(inv *Invocation) error {
	switch format := inv.String("log-format"); format {
	case "text":
	case "json":
		l.json = true
	default:
		return inv.Usage("--log-format %q is neither text nor json", format)
	}
	switch when := inv.String("color"); when {
	case "always":
		l.color = true
	case "auto":
		l.color = os.Getenv("NO_COLOR") == "" && isTerminal(l.out)
	case "never":
	default:
		return inv.Usage("--color %q is neither auto nor always nor never", when)
	}
	l.level = inv.Count("verbose")
	if inv.Bool("quiet") {
		l.level = -1
	}
	return nil
}

// Verbose reports whether -v was given at least n times.
func (l *Log) Verbose(n int) bool { return l.level >= n }

// Quiet reports whether -q was given.
func (l *Log) Quiet() bool { return l.level < 0 }

// JSON reports whether messages are JSON objects.
func (l *Log) JSON() bool { return l.json }

// Color reports whether colour is wanted on stderr.
func (l *Log) Color() bool { return l.color }

// Note prints what a person wants to know. -q silences it.
func (l *Log) Note(format string, args ...any) {
	if l.level >= 0 {
		l.line("note", fmt.Sprintf(format, args...))
	}
}

// Detail prints with -v.
func (l *Log) Detail(format string, args ...any) {
	if l.level >= 1 {
		l.line("note", fmt.Sprintf(format, args...))
	}
}

// Warn prints what may go wrong later. -q silences it.
func (l *Log) Warn(format string, args ...any) {
	if l.level >= 0 {
		l.line("warning", fmt.Sprintf(format, args...))
	}
}

// Hint prints what to type next. -q silences it.
func (l *Log) Hint(format string, args ...any) {
	if l.level >= 0 {
		l.hint(fmt.Sprintf(format, args...))
	}
}

func (l *Log) hint(text string) { l.line("hint", text) }

// fail prints each failure with those of its hints that are new, in one write:
// the stages of a pipe fail together, and each cause is to stand by its cure.
func (l *Log) fail(err error, status int) {
	var lines strings.Builder
	said := make(map[string]bool)
	for _, e := range fault.Split(err) {
		l.failure(&lines, e, status, said)
	}
	l.write(lines.String())
}

func (l *Log) failure(lines *strings.Builder, err error, status int, said map[string]bool) {
	hints := append([]string{}, fault.Hints(err)...) // in JSON [], not null
	for i, h := range hints {
		hints[i] = strings.ReplaceAll(h, "{tool}", l.name)
	}
	if l.json {
		lines.WriteString(l.object(map[string]any{"level": "error", "msg": err.Error(), "hints": hints, "status": status}))
		return
	}
	lines.WriteString(l.text("error", err.Error()))
	for _, h := range hints {
		if !said[h] {
			said[h] = true
			lines.WriteString(l.text("hint", h))
		}
	}
}

// line prints one message.
func (l *Log) line(level, text string) {
	if l.json {
		l.write(l.object(map[string]any{"level": level, "msg": text}))
		return
	}
	l.write(l.text(level, text))
}

// text is the line for a person. Words from images are in it, so that control
// characters, which could drive a terminal, are escaped.
func (l *Log) text(level, text string) string {
	return l.name + ": " + level + ": " + printable(text) + "\n"
}

// object is the line for a program; empty if it cannot be one.
func (l *Log) object(members map[string]any) string {
	members["tool"] = l.name
	line, err := json.Marshal(members)
	if err != nil {
		return ""
	}
	return string(line) + "\n"
}

// write ignores the error: there is nowhere left to report it.
func (l *Log) write(lines string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = io.WriteString(l.out, lines)
}

// printable escapes control characters and folds lines into one.
func printable(text string) string {
	if strings.IndexFunc(text, control) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range strings.TrimRight(text, "\n") {
		switch {
		case r == '\n':
			b.WriteString("; ")
		case control(r):
			fmt.Fprintf(&b, "\\x%02x", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func control(r rune) bool { return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 }
