package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/oci-plumbing/oci-plumbing/scripts/internal/measure"
)

// row is the outcome of one task on one image.
type row struct {
	Task    string   `json:"task"`
	Image   string   `json:"image"`
	Runs    int      `json:"runs"`
	Digest  string   `json:"digest,omitempty"`
	Results []result `json:"results"`
}

type result struct {
	Name    string           `json:"name"`
	Samples []measure.Sample `json:"samples"`
}

func (r result) wall() time.Duration {
	return measure.Median(r.Samples, func(s measure.Sample) time.Duration { return s.Wall })
}

func (r result) cpu() time.Duration {
	return measure.Median(r.Samples, func(s measure.Sample) time.Duration { return s.CPU })
}

func (r result) rss() int64 {
	return measure.Median(r.Samples, func(s measure.Sample) int64 { return s.RSS })
}

// ratio is ours divided by theirs.
func ratio(ours, theirs time.Duration) float64 {
	if theirs == 0 {
		return 0
	}
	return float64(ours) / float64(theirs)
}

// text are the lines of the table for one row.
func (r row) text() string {
	var b strings.Builder
	ours := r.Results[0]
	for i, c := range r.Results {
		wall, cpu := "", ""
		if i > 0 {
			wall, cpu = fmt.Sprintf("%.3f", ratio(ours.wall(), c.wall())), fmt.Sprintf("%.3f", ratio(ours.cpu(), c.cpu()))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %.3f | %.3f | %.0f | %s | %s |\n", r.Task, r.Image, c.Name,
			c.wall().Seconds(), c.cpu().Seconds(), float64(c.rss())/1024, wall, cpu)
	}
	return b.String()
}

// report writes PREFIX.md, PREFIX.json and PREFIX.svg.
func report(prefix string, b *bench, rows []row) error {
	var md strings.Builder
	fmt.Fprintf(&md, "# Measured side by side\n\n%s\n", machine(b))
	md.WriteString("\nMedians; wall and CPU in seconds, memory in MB (the largest process). The ratios are ours divided by theirs: below 1 we are faster.\n\n")
	md.WriteString("| task | image | tool | wall | CPU | memory | wall ratio | CPU ratio |\n|---|---|---|---|---|---|---|---|\n")
	for _, r := range rows {
		md.WriteString(r.text())
	}
	data, err := json.MarshalIndent(rows, "", " ")
	if err != nil {
		return err
	}
	for suffix, content := range map[string]string{".md": md.String(), ".json": string(data), ".svg": chart(rows)} {
		if err := os.WriteFile(prefix+suffix, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// machine are the facts without which a figure says nothing.
func machine(b *bench) string {
	var s strings.Builder
	target := "a fresh ext4 for each run"
	if b.tmpfs {
		target = "tmpfs"
	}
	cache := "warm"
	if b.cold {
		cache = "cold"
	}
	fmt.Fprintf(&s, "- date: %s\n- cores: %s\n- target: %s, page cache %s, %d runs of each in turn\n",
		time.Now().UTC().Format("2006-01-02"), measure.Cores(), target, cache, b.runs)
	fmt.Fprintf(&s, "- load at the end: %s\n- kernel: %s\n", measure.Load(), measure.Kernel())
	for _, tool := range [][]string{{"umoci", "--version"}, {"skopeo", "--version"}, {"buildah", "--version"}, {"podman", "--version"}, {"runc", "--version"}, {"tar", "--version"}, {"gzip", "--version"}} {
		if out, err := exec.Command(tool[0], tool[1:]...).Output(); err == nil {
			line, _, _ := strings.Cut(string(out), "\n")
			fmt.Fprintf(&s, "- %s\n", line)
		}
	}
	return s.String()
}

// chart draws the wall ratios as bars; the line at 1 is the peer.
func chart(rows []row) string {
	type bar struct {
		label string
		value float64
	}
	var bars []bar
	for _, r := range rows {
		for _, c := range r.Results[1:] {
			bars = append(bars, bar{fmt.Sprintf("%s %s / %s", r.Task, r.Image, c.Name), ratio(r.Results[0].wall(), c.wall())})
		}
	}
	const left, unit, height = 330, 320, 22
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", left+unit*3/2+60, height*len(bars)+40)
	for i, bar := range bars {
		y := 10 + i*height
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text><rect x="%d" y="%d" width="%.0f" height="%d" fill="#4477aa"/><text x="%.0f" y="%d">%.2f</text>`+"\n",
			left-8, y+14, measure.EscapeXML(bar.label), left, y+2, min(bar.value, 1.5)*unit, height-6, left+min(bar.value, 1.5)*unit+5, y+14, bar.value)
	}
	fmt.Fprintf(&b, `<line x1="%d" y1="4" x2="%d" y2="%d" stroke="#cc3311"/><text x="%d" y="%d">the peer = 1</text></svg>`+"\n",
		left+unit, left+unit, height*len(bars)+14, left+unit+4, height*len(bars)+28)
	return b.String()
}
