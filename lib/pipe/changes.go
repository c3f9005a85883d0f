package pipe

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Changes is a list of changed paths: a line for each, a letter and the path,
// or a JSON object. It is printed whole or not at all.
type Changes struct {
	writer *Writer
	text   bytes.Buffer
}

// Changes begins a list in the form that the writer has.
func (w *Writer) Changes() *Changes { return &Changes{writer: w} }

// Add adds a path, and refuses one that the form cannot hold.
func (c *Changes) Add(kind, path string) error {
	if err := c.writer.Check(path); err != nil {
		return err
	}
	line := []byte(kind + " " + path)
	if c.writer.json {
		var err error
		if line, err = json.Marshal(map[string]string{"change": kind, "path": path}); err != nil {
			return fmt.Errorf("encode change: %w", err)
		}
	}
	c.text.Write(line)
	c.text.WriteByte(c.writer.end())
	return nil
}

// Print prints what was added.
func (c *Changes) Print() error {
	if _, err := c.text.WriteTo(c.writer.out); err != nil {
		return fmt.Errorf("print changes: %w", err)
	}
	return nil
}
