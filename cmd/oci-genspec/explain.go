package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/spec"
)

// explainDocument prints, with --explain, a row for each field on stderr: as a
// table, or as JSON objects with --json.
func explainDocument(inv *cli.Invocation, res *spec.Result) error {
	if !inv.Bool("explain") {
		return nil
	}
	var text strings.Builder
	if inv.Bool("json") {
		if err := explainJSON(&text, res); err != nil {
			return err
		}
	} else {
		explainTable(&text, res)
	}
	_, err := fmt.Fprint(inv.Err, text.String())
	return err
}

func explainJSON(text *strings.Builder, res *spec.Result) error {
	enc := json.NewEncoder(text)
	enc.SetEscapeHTML(false)
	for _, f := range res.Document.Fields() {
		row := struct {
			spec.Field
			Value json.RawMessage `json:"value"`
		}{f, json.RawMessage(f.Value)}
		if err := enc.Encode(row); err != nil {
			return fmt.Errorf("encode %s: %w", f.Pointer, err)
		}
	}
	for _, i := range res.Ignored {
		if err := enc.Encode(struct {
			spec.Ignored
			Source string `json:"source"`
		}{i, "ignored"}); err != nil {
			return fmt.Errorf("encode %s: %w", i.Pointer, err)
		}
	}
	return nil
}

// The widest that a column of the table gets.
const (
	widestPointer = 50
	widestValue   = 52
	widestSource  = 28
)

func explainTable(text *strings.Builder, res *spec.Result) {
	rows := [][4]string{{"FIELD", "VALUE", "SOURCE", "WHY"}}
	for _, f := range res.Document.Groups() {
		rows = append(rows, [4]string{f.Pointer, clip(f.Value, widestValue), f.Source, f.Why})
	}
	for _, i := range res.Ignored {
		rows = append(rows, [4]string{i.Pointer, "", "ignored", i.Why})
	}
	var widths [3]int
	for _, r := range rows {
		for i, widest := range []int{widestPointer, widestValue, widestSource} {
			widths[i] = max(widths[i], min(widest, utf8.RuneCountInString(r[i])))
		}
	}
	for _, r := range rows {
		line := fmt.Sprintf("%-*s  %-*s  %-*s  %s", widths[0], r[0], widths[1], r[1], widths[2], r[2], r[3])
		text.WriteString(printable(strings.TrimRight(line, " ")) + "\n")
	}
}

func clip(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-3]) + "..."
}

// printable keeps text of an image from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// printScript prints the script that writes the same file: one program of jq,
// an assignment for each part, with its reason. What jq would write in another
// form leaves only the document itself.
func printScript(inv *cli.Invocation, src *source, res *spec.Result, target string) error {
	steps := inv.Steps()
	for _, c := range res.CopyUps {
		source, err := src.tree.Source(c)
		if err != nil {
			return err
		}
		step := explain.Step{
			Action:  "fill the directory of the volume " + c.From,
			Command: fillCommand(source, c.To),
			Why:     "a bind mount hides what the image has there",
		}
		if err := steps.Step(step); err != nil {
			return err
		}
	}
	return steps.Step(explain.Step{Action: "write the config.json", Command: script(res.Document, target), Why: "what a runtime starts from", Ref: "runtime-spec config.md"})
}

// fillCommand makes the directory, and fills it when it is empty. The source
// has no link of the image in it: cp would follow one out of the rootfs.
func fillCommand(source, target string) string {
	lines := explain.Quote("mkdir", "-p", target)
	if source == "" {
		return lines
	}
	copying := explain.Quote("cp", "-RPp", source+"/.", target)
	noDevices := explain.Quote("find", target, "!", "-type", "d", "!", "-type", "f", "!", "-type", "l", "-exec", "rm", "{}", "+")
	return lines + fmt.Sprintf("\nif [ -z \"$(%s)\" ]; then\n\t%s\n\t%s\nfi", explain.Quote("ls", "-A", target), copying, noDevices)
}

func script(doc *spec.Document, target string) string {
	redirect, move := "", ""
	switch {
	case target == "-":
	case isStream(target):
		redirect = " > " + explain.Quote(target)
	default:
		redirect = " > " + explain.Quote(target+".new")
		move = explain.Quote("mv", target+".new", target) + "\n"
	}
	var b strings.Builder
	if !doc.KeptByJQ() {
		fmt.Fprintf(&b, "# no jq here: it would write a number or a string in another form\ncat%s <<'EOF'\n%sEOF\n", redirect, doc.Bytes())
	} else {
		fmt.Fprintf(&b, "jq -n -f /dev/stdin%s <<'EOF'\n{}\n", redirect)
		for _, s := range doc.Sections() {
			fmt.Fprintf(&b, "# %s\n| %s = %s\n", printable(s.Source+": "+s.Why), s.Path, s.Value)
		}
		b.WriteString("EOF\n")
	}
	return b.String() + move
}
