package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/transport"
)

// progress shows on stderr how far blobs have got. The nil progress shows
// nothing.
type progress struct {
	out  io.Writer
	json bool

	mu    sync.Mutex
	begin time.Time
	last  time.Time
	blobs map[digest.Digest]*transport.Event
	order []digest.Digest
	drawn int // lines on the screen
}

// newProgress takes --progress; nil when there is nobody to show it to.
func newProgress(inv *cli.Invocation) (*progress, error) {
	form := inv.String("progress")
	if form == "auto" {
		form = "none"
		if inv.StderrIsTerminal() && !inv.Log.Quiet() && !inv.Log.JSON() && !inv.Bool("json") {
			form = "bar"
		}
	}
	p := &progress{out: inv.Err, begin: time.Now(), blobs: make(map[digest.Digest]*transport.Event)}
	switch form {
	case "none":
		return nil, nil //nolint:nilnil // the nil progress shows nothing
	case "json":
		p.json = true
		return p, nil
	case "bar":
		return p, nil
	default:
		return nil, inv.Usage("--progress %q is neither auto nor bar nor json nor none", form)
	}
}

// redraw is how often the screen changes.
const redraw = 100 * time.Millisecond

// event takes one event; most of those in between are left out.
func (p *progress) event(e transport.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.blobs[e.Digest]; !known {
		p.order = append(p.order, e.Digest)
	}
	p.blobs[e.Digest] = &e
	due := time.Since(p.last) >= redraw
	if e.Action == transport.Moved && !due {
		return
	}
	if due {
		p.last = time.Now()
	}
	switch {
	case p.json:
		if line, err := json.Marshal(e); err == nil {
			_, _ = p.out.Write(append(line, '\n'))
		}
	case due:
		p.draw()
	}
}

// shown is the most blobs that get a line; those at work come first.
const shown = 8

// draw writes a line for each blob at work, and one for the sum, over those
// drawn before.
func (p *progress) draw() {
	var b strings.Builder
	p.erase(&b)
	var done, total int64
	var lines []string
	for _, d := range p.order {
		e := p.blobs[d]
		total += max(0, e.Size)
		if e.Action == transport.Done || e.Action == transport.Reused {
			done += max(0, e.Size)
			continue
		}
		done += e.Offset
		if len(lines) < shown {
			lines = append(lines, fmt.Sprintf("  %s  %s", d.Encoded()[:12], bar(e.Offset, e.Size)))
		}
	}
	elapsed := time.Since(p.begin)
	rate := float64(done) / max(elapsed.Seconds(), 0.001)
	sum := fmt.Sprintf("  total         %s  %s/s", bar(done, total), amount(int64(rate)))
	if rate > 0 && total > done {
		left := time.Duration(float64(total-done) / rate * float64(time.Second))
		sum += "  " + left.Round(time.Second).String() + " left"
	}
	lines = append(slices.Clip(lines), sum)
	b.WriteString(strings.Join(lines, "\n") + "\n")
	p.drawn = len(lines)
	_, _ = io.WriteString(p.out, b.String())
}

// erase goes up to the first line drawn and clears from there on.
func (p *progress) erase(b *strings.Builder) {
	if p.drawn > 0 {
		fmt.Fprintf(b, "\x1b[%dA\r\x1b[J", p.drawn)
		p.drawn = 0
	}
}

// clear takes the bars off the screen, before something else is written.
func (p *progress) clear() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var b strings.Builder
	p.erase(&b)
	_, _ = io.WriteString(p.out, b.String())
}

// stop ends the display.
func (p *progress) stop() { p.clear() }

// bar draws how much of a size is done.
func bar(done, size int64) string {
	const width = 24
	if size <= 0 {
		return fmt.Sprintf("[%s] %9s", strings.Repeat(" ", width), amount(done))
	}
	full := int(min(done, size) * width / size)
	return fmt.Sprintf("[%s%s] %9s of %s", strings.Repeat("=", full), strings.Repeat(" ", width-full), amount(done), amount(size))
}

// amount is a number of bytes for people.
func amount(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, names := float64(n), "KMGTPE"
	i := -1
	for value >= unit {
		value /= unit
		i++
	}
	return fmt.Sprintf("%.1f %ciB", value, names[i])
}
