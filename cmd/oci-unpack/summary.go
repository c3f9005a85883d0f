package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/oci-plumbing/oci-plumbing/lib/cli"
)

// summary draws the layers on a terminal, lowest first: how much of the image
// each is, its files' size and number, its blob's size and digest.
func (p *plan) summary(inv *cli.Invocation, made *report) {
	if newProgress(inv, p.layers).form != "bar" || len(made.Totals) != len(p.layers) {
		return
	}
	var all, most int64
	for _, t := range made.Totals {
		all += t.Bytes
		most = max(most, t.Bytes)
	}
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	for i, t := range made.Totals {
		l := p.layers[i]
		_, _ = fmt.Fprintf(table, "%d\t%s\t%d entries\t%s\t%s packed\t  %s\n",
			i+1, size(t.Bytes), t.Entries, bar(t.Bytes, most), size(l.Descriptor.Size), short(l.Descriptor.Digest.Encoded()))
	}
	_, _ = fmt.Fprintf(table, "\t%s\tin all\t\t\t\n", size(all))
	// Neither a table nor its terminal is anybody's result.
	_ = table.Flush()
	_, _ = io.WriteString(inv.Err, text.String())
}

// bar is as long as n is of most; what is not nothing has a mark.
func bar(n, most int64) string {
	const width = 30
	marks := 0
	if most > 0 {
		marks = int((n*width + most - 1) / most)
	}
	return strings.Repeat("#", marks) + strings.Repeat(".", width-marks)
}

// size is in units of a thousand, as disks are sold.
func size(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	x, unit := float64(n), 0
	for x >= 999.5 && unit < len(units)-1 {
		x, unit = x/1000, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d %s", n, units[0])
	}
	return fmt.Sprintf("%.1f %s", x, units[unit])
}

// short is as much of a digest as a person compares.
func short(encoded string) string { return encoded[:min(12, len(encoded))] }
