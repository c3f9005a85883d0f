package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	Name string `json:"name"`
	// Limit tells that it is not a peer, but what the data alone costs.
	Limit   bool             `json:"limit,omitempty"`
	Samples []measure.Sample `json:"samples"`
	// Calls are the system calls, of a run of their own; 0 when not counted.
	Calls int64 `json:"calls,omitempty"`
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
		wall, cpu, calls, name := "", "", "", c.Name
		if i > 0 {
			wall, cpu = fmt.Sprintf("%.3f", ratio(ours.wall(), c.wall())), fmt.Sprintf("%.3f", ratio(ours.cpu(), c.cpu()))
		}
		if c.Calls > 0 {
			calls = fmt.Sprint(c.Calls)
		}
		if c.Limit {
			name = "(" + name + ")"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %d | %.3f | %.3f | %.0f | %s | %s | %s |\n", r.Task, r.Image, strings.ReplaceAll(name, "|", `\|`), r.Runs,
			c.wall().Seconds(), c.cpu().Seconds(), float64(c.rss())/1024, calls, wall, cpu)
	}
	return b.String()
}

// report writes PREFIX.md, PREFIX.json and PREFIX.svg.
func report(prefix string, b *bench, rows []row) error {
	var md strings.Builder
	fmt.Fprintf(&md, "# Measured side by side\n\n%s\n", machine(b))
	fmt.Fprintf(&md, "![ratios](%s.svg)\n\n", filepath.Base(prefix))
	md.WriteString(explanation)
	md.WriteString("| task | image | tool | runs | wall | CPU | memory | calls | wall ratio | CPU ratio |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range rows {
		md.WriteString(r.text())
	}
	md.WriteString("\n")
	for _, t := range tasks {
		if slices.ContainsFunc(rows, func(r row) bool { return r.Task == t.name }) {
			fmt.Fprintf(&md, "- %s: %s\n", t.name, t.why)
		}
	}
	for _, s := range shapes {
		if slices.ContainsFunc(rows, func(r row) bool { return r.Image == s.name }) {
			fmt.Fprintf(&md, "- image %s, %s: %d layers, %d files, %d MB\n", s.name, s.why, s.layers, s.files, s.bytes/1e6)
		}
	}
	data, err := json.MarshalIndent(rows, "", " ")
	if err != nil {
		return err
	}
	for suffix, content := range map[string]string{".md": md.String(), ".json": string(data) + "\n", ".svg": chart(rows)} {
		if err := os.WriteFile(prefix+suffix, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

const explanation = `Medians of the runs. Wall and CPU are in seconds, memory in MB is the peak of the
largest process, calls are system calls of a run of their own. The ratios are ours
divided by theirs: below 1 we are faster. Where two make the same thing, the results
were compared after each run, and a difference ends the bench. What stands in
parentheses is no peer but a limit, a part of the task alone: the bytes read,
decompressed or digested by the usual program, and nothing made of them; the runtime's
own three calls, with a bundle that is ready; a Go program that does nothing.

`

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
	fmt.Fprintf(&s, "- date: %s\n- cores: %s\n- target: %s, page cache %s, at most %d runs of each in turn\n",
		time.Now().UTC().Format("2006-01-02"), measure.Cores(), target, cache, b.runs)
	fmt.Fprintf(&s, "- load at the end: %s\n- kernel: %s\n", measure.Load(), measure.Kernel())
	fmt.Fprintf(&s, "- memory: %s\n", measure.Memory())
	for _, tool := range [][]string{{filepath.Join(b.bin, "oci-unpack"), "--version"}, {"go", "version"}, {"umoci", "--version"}, {"skopeo", "--version"}, {"buildah", "--version"}, {"podman", "--version"}, {b.runtime, "--version"}, {"tar", "--version"}, {"gzip", "--version"}} {
		if out, err := exec.Command(tool[0], tool[1:]...).Output(); err == nil {
			line, _, _ := strings.Cut(string(out), "\n")
			fmt.Fprintf(&s, "- %s\n", line)
		}
	}
	return s.String()
}
