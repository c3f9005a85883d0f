package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/layer"
)

// progress shows how many bytes of the layers have been read.
type progress struct {
	inv   *cli.Invocation
	total int64
	form  string // "bar", "json" or ""
	drawn bool
}

func newProgress(inv *cli.Invocation, layers []layer.Layer) *progress {
	p := &progress{inv: inv}
	for _, l := range layers {
		p.total += l.Descriptor.Size
	}
	switch when := inv.String("progress"); {
	case when == "json":
		p.form = "json"
	case when == "auto" && inv.StderrIsTerminal() && !inv.Log.Quiet() && !inv.Bool("explain"):
		p.form = "bar"
	}
	return p
}

func (p *progress) set(read int64) {
	read = min(read, p.total) // what had to be read twice does not count
	switch p.form {
	case "json":
		line, err := json.Marshal(map[string]any{"tool": name, "event": "progress", "read": read, "total": p.total})
		if err == nil {
			p.print(string(line) + "\n")
		}
	case "bar":
		const width = 40
		done := 0
		if p.total > 0 {
			done = int(min(read, p.total) * width / p.total)
		}
		p.print(fmt.Sprintf("\r[%s%s] %d of %d MB", strings.Repeat("#", done), strings.Repeat(".", width-done), read/1e6, p.total/1e6))
		p.drawn = true
	}
}

// clear takes the bar away, so that a message gets a line of its own.
func (p *progress) clear() {
	if p.drawn {
		p.print("\r\x1b[K")
		p.drawn = false
	}
}

func (p *progress) end() { p.clear() }

// print drops what cannot be shown: progress is nobody's result.
func (p *progress) print(text string) { _, _ = io.WriteString(p.inv.Err, text) }
