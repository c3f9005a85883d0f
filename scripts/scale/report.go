package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/oci-plumbing/oci-plumbing/scripts/internal/measure"
)

// result is what was measured of one curve.
type result struct {
	Curve string `json:"curve"`
	Why   string `json:"why"`
	Unit  string `json:"unit"`
	Ops   []line `json:"ops"`
}

// line is one operation at growing numbers.
type line struct {
	Name   string  `json:"name"`
	Why    string  `json:"why"`
	Limits limits  `json:"limits"`
	Points []point `json:"points"`
	// Failed tells where the operation failed; it was not tried beyond.
	Failed string `json:"failed,omitempty"`
}

// verdict is how the line grows, in words.
func (l line) verdict() string {
	if l.Failed != "" {
		return l.Failed
	}
	return grow(l.Points).verdict(l.Limits)
}

// bad lists the lines that are not as they should be.
func (r result) bad() []string {
	var names []string
	for _, l := range r.Ops {
		if v := l.verdict(); v != good && v != goodAndFlat {
			names = append(names, fmt.Sprintf("%s %s: %s", r.Curve, l.Name, v))
		}
	}
	return names
}

// metric is one of the figures of a point.
type metric struct {
	name, unit string
	of         func(point) float64
}

var metrics = []metric{
	{"wall", "s", func(p point) float64 { return p.Wall.Seconds() }},
	{"CPU", "s", func(p point) float64 { return p.CPU.Seconds() }},
	{"memory", "MB", func(p point) float64 { return float64(p.RSS) / 1024 }},
}

// text is the table of a curve.
func (r result) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n## %s\n\n%s.\n\n| operation | %s |", r.Curve, sentence(r.Why), r.Unit)
	numbers := r.numbers()
	for _, n := range numbers {
		fmt.Fprintf(&b, " %s |", human(n))
	}
	b.WriteString(" exponent | verdict |\n|---|---|" + strings.Repeat("---|", len(numbers)+2) + "\n")
	for _, l := range r.Ops {
		e := grow(l.Points)
		for i, m := range metrics {
			name, verdict := "", ""
			if i == 0 {
				name, verdict = l.Name, l.verdict()
			}
			fmt.Fprintf(&b, "| %s | %s, %s |", name, m.name, m.unit)
			for _, n := range numbers {
				fmt.Fprintf(&b, " %s |", l.at(n, m))
			}
			fmt.Fprintf(&b, " %.2f | %s |\n", []float64{e.Wall, e.CPU, e.Memory}[i], verdict)
		}
	}
	b.WriteByte('\n')
	for _, l := range r.Ops {
		fmt.Fprintf(&b, "- %s: %s\n", l.Name, l.Why)
	}
	return b.String()
}

// numbers are the points of the longest line.
func (r result) numbers() []int64 {
	var numbers []int64
	for _, l := range r.Ops {
		if len(l.Points) > len(numbers) {
			numbers = numbers[:0]
			for _, p := range l.Points {
				numbers = append(numbers, p.N)
			}
		}
	}
	return numbers
}

// at is the figure at n, or nothing where the line has none.
func (l line) at(n int64, m metric) string {
	for _, p := range l.Points {
		if p.N == n {
			return short(m.of(p))
		}
	}
	return ""
}

// short keeps three digits, which is more than the machine's noise allows.
func short(v float64) string {
	switch {
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case v >= 1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	default:
		return strconv.FormatFloat(v, 'f', 3, 64)
	}
}

// human writes 3000000 as 3M.
func human(n int64) string {
	for _, u := range []struct {
		value int64
		name  string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if n >= u.value && n%u.value == 0 {
			return strconv.FormatInt(n/u.value, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// report writes result.md, result.json and the pictures into dir.
func (s *scale) report(dir string, results []result) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	target := "a fresh ext4 for each run"
	if s.tmpfs {
		target = "tmpfs"
	}
	var md strings.Builder
	fmt.Fprintf(&md, `# Growth

- date: %s
- cores: %s
- kernel: %s
- target: %s; the least of at most %d runs
- load at the end: %s

The exponent k is that of time or memory = c·N^k over the upper end of the
curve: 1 is linear growth, 0 is none. The verdict allows %.2f, and %.2f where
memory must stay flat. Memory is the peak of the largest process.
`, time.Now().UTC().Format(time.DateOnly), measure.Cores(), measure.Kernel(), target, s.runs, measure.Load(), linear, constant)
	for _, r := range results {
		fmt.Fprintf(&md, "%s\n![%s](%s.svg)\n", r.text(), r.Curve, r.Curve)
		if err := os.WriteFile(filepath.Join(dir, r.Curve+".svg"), []byte(plot(r)), 0o644); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "result.md"), []byte(md.String()), 0o644); err != nil {
		return err
	}
	data, err := json.MarshalIndent(results, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "result.json"), append(data, '\n'), 0o644)
}
