package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/spec"
)

// diff prints in what two documents differ, and ends with 1 when they do.
func diff(inv *cli.Invocation) error {
	if len(inv.Operands) != 2 {
		return inv.Usage("--diff needs two operands: config.json files or bundles")
	}
	if inv.Operand(0) == "-" && inv.Operand(1) == "-" {
		return inv.Usage("only one operand can be standard input")
	}
	var docs [2]*spec.Document
	for i := range docs {
		data, _, err := readDocument(inv, inv.Operand(i))
		if err != nil {
			return err
		}
		if docs[i], err = spec.Parse(data); err != nil {
			return fmt.Errorf("%s: %w", inv.Operand(i), err)
		}
	}
	differences := spec.Diff(docs[0], docs[1])
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	for _, d := range differences {
		if inv.Bool("json") {
			if err := enc.Encode(jsonDifference(d)); err != nil {
				return fmt.Errorf("encode a difference: %w", err)
			}
			continue
		}
		switch {
		case d.Old == "":
			fmt.Fprintf(&out, "+ %s: %s\n", printable(d.Pointer), printable(d.New))
		case d.New == "":
			fmt.Fprintf(&out, "- %s: %s\n", printable(d.Pointer), printable(d.Old))
		default:
			fmt.Fprintf(&out, "~ %s: %s -> %s\n", printable(d.Pointer), printable(d.Old), printable(d.New))
		}
	}
	if _, err := inv.Out.Write(out.Bytes()); err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	if len(differences) > 0 {
		return fault.Exit(1)
	}
	return nil
}

func jsonDifference(d spec.Difference) any {
	row := struct {
		Pointer string          `json:"pointer"`
		Old     json.RawMessage `json:"old,omitempty"`
		New     json.RawMessage `json:"new,omitempty"`
	}{Pointer: d.Pointer}
	if d.Old != "" {
		row.Old = json.RawMessage(d.Old)
	}
	if d.New != "" {
		row.New = json.RawMessage(d.New)
	}
	return row
}
