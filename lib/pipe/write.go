package pipe

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// Writer prints records.
type Writer struct {
	out  io.Writer
	json bool
	null bool
}

// NewWriter prints to out, as JSON objects when asJSON, and ends records with
// NUL in place of newline when null.
func NewWriter(out io.Writer, asJSON, null bool) *Writer {
	return &Writer{out: out, json: asJSON, null: null}
}

// Check says whether the name can be printed as a record at all. Call it
// before anything is made: a newline in a name needs -0, and JSON has no bytes
// that are not UTF-8 (RFC 8259, section 8.1).
func (w *Writer) Check(name string) error {
	if w.json && !utf8.ValidString(name) {
		return fault.Hint(fault.Usage("%q is not UTF-8, which JSON cannot hold", name), "leave out --json")
	}
	if w.null || w.json || !strings.Contains(name, "\n") {
		return nil
	}
	return fault.Hint(fault.Usage("%q contains a newline, which would break the record", name),
		"use -0 (NUL-terminated records) or --json")
}

// Write prints one record with one write call. An error, EPIPE above all,
// means that nobody has got the name: the caller undoes what it made.
func (w *Writer) Write(rec Record) error {
	names := []string{rec.Name()}
	if w.json {
		names = append(names, rec.Path, rec.Image, rec.ID)
	}
	for _, name := range names {
		if err := w.Check(name); err != nil {
			return err
		}
	}
	line := []byte(rec.Name())
	if w.json {
		var err error
		if line, err = json.Marshal(rec); err != nil {
			return fmt.Errorf("encode record: %w", err)
		}
	}
	if _, err := w.out.Write(append(line, w.end())); err != nil {
		return fmt.Errorf("write record to standard output: %w", err)
	}
	return nil
}

// end is the byte that ends a record.
func (w *Writer) end() byte {
	if w.null {
		return 0
	}
	return '\n'
}
