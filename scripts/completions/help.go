package main

import (
	"fmt"
	"strings"
)

// tool is what the shells need to know of a binary.
type tool struct {
	Name string
	// Operand is what its operands are.
	Operand kind
	Flags   []flag
}

// flag is one line of the help.
type flag struct {
	// Short and Long are the names with their dashes.
	Short, Long []string
	// Value is what the help calls its value, "DIR"; "" for none.
	Value string
	Kind  kind
	// Text is the first clause of its description.
	Text string
}

// Names are all names of the flag.
func (f flag) Names() []string { return append(append([]string{}, f.Short...), f.Long...) }

// kind is what can stand for a value.
type kind struct {
	// What is one of "", "dir", "file", "image" and "words".
	What string
	// Words are the values to choose from, for "words".
	Words []string
}

var (
	dirs   = kind{What: "dir"}
	files  = kind{What: "file"}
	images = kind{What: "image"}
)

// operands are the kinds of the operands, which the help does not tell.
var operands = map[string]kind{
	"oci-copy": images, "oci-unpack": images, "oci-mount": images, "oci-commit": dirs,
	"oci-genspec": dirs, "oci-run": {},
}

// valueKind is the kind of a value by the name that the help gives it, or by
// that of the flag where the same name stands for several things.
func valueKind(long, value string) kind {
	switch long {
	case "--color":
		return kind{What: "words", Words: []string{"auto", "always", "never"}}
	case "--log-format":
		return kind{What: "words", Words: []string{"text", "json"}}
	case "--platform":
		return kind{What: "words", Words: []string{"linux/amd64", "linux/arm64", "linux/arm/v7", "linux/riscv64"}}
	case "--runtime":
		return kind{What: "words", Words: []string{"runc", "crun", "youki", "runsc"}}
	}
	switch value {
	case "DIR", "BUNDLE", "ROOTFS":
		return dirs
	case "FILE", "PATH", "SOCKET":
		return files
	case "IMAGE":
		return images
	default:
		return kind{}
	}
}

// parseHelp reads the flags from the text of --help.
func parseHelp(name, help string) (tool, error) {
	t := tool{Name: name, Operand: operands[name]}
	_, section, ok := strings.Cut(help, "\nflags:\n")
	section, _, end := strings.Cut(section, "\nexamples:\n")
	if !ok || !end {
		return tool{}, fmt.Errorf("the help of %s has no list of flags", name)
	}
	for line := range strings.Lines(section) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "  -"):
			head, text, _ := strings.Cut(line[2:], "  ")
			t.Flags = append(t.Flags, parseFlag(head, strings.TrimSpace(text)))
		case strings.HasPrefix(line, "      ") && len(t.Flags) > 0:
			last := &t.Flags[len(t.Flags)-1]
			last.Text = strings.TrimSpace(last.Text + " " + strings.TrimSpace(line))
		}
	}
	for i := range t.Flags {
		t.Flags[i].Text = firstClause(t.Flags[i].Text)
	}
	return t, nil
}

// parseFlag reads "-b, --bundle DIR".
func parseFlag(head, text string) flag {
	names, value, _ := strings.Cut(head, " ")
	for strings.HasSuffix(names, ",") {
		var next string
		next, value, _ = strings.Cut(value, " ")
		names += next
	}
	f := flag{Value: value, Text: text}
	for name := range strings.SplitSeq(names, ",") {
		if strings.HasPrefix(name, "--") {
			f.Long = append(f.Long, name)
		} else {
			f.Short = append(f.Short, name)
		}
	}
	if f.Value != "" {
		long := ""
		if len(f.Long) > 0 {
			long = f.Long[0]
		}
		f.Kind = valueKind(long, f.Value)
	}
	return f
}

// firstClause shortens a description to what fits beside a completion.
func firstClause(text string) string {
	for _, end := range []string{" (", "; ", ": "} {
		text, _, _ = strings.Cut(text, end)
	}
	return text
}
