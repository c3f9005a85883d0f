package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/oci-plumbing/oci-plumbing/scripts/internal/measure"
)

// bar is one ratio of ours to a peer, and that of the limit to the peer.
type bar struct {
	label        string
	value, limit float64
}

// bars are those of all rows: wall time, or CPU time.
func bars(rows []row, of func(result) time.Duration) []bar {
	var all []bar
	for _, r := range rows {
		var limit time.Duration
		for _, c := range r.Results {
			if c.Limit {
				limit = of(c)
			}
		}
		for _, c := range r.Results[1:] {
			if !c.Limit {
				all = append(all, bar{fmt.Sprintf("%s %s / %s", r.Task, r.Image, c.Name), ratio(of(r.Results[0]), of(c)), ratio(limit, of(c))})
			}
		}
	}
	return all
}

const (
	chartLeft   = 330
	chartUnit   = 320
	chartMost   = 1.5
	chartHeight = 22
)

// chart draws the wall ratios as bars; the line at 1 is the peer, and the mark
// on a bar the limit.
func chart(rows []row) string {
	all := bars(rows, result.wall)
	bottom := chartHeight * len(all)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n",
		chartLeft+chartUnit*3/2+60, bottom+60)
	b.WriteString(`<rect width="100%" height="100%" fill="white"/>` + "\n")
	for i, bar := range all {
		y, width := 10+i*chartHeight, min(bar.value, chartMost)*chartUnit
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text><rect x="%d" y="%d" width="%.0f" height="%d" fill="#4477aa"/><text x="%.0f" y="%d">%.2f</text>`+"\n",
			chartLeft-8, y+14, measure.EscapeXML(bar.label), chartLeft, y+2, width, chartHeight-6, chartLeft+width+5, y+14, bar.value)
		if bar.limit > 0 {
			x := chartLeft + min(bar.limit, chartMost)*chartUnit
			fmt.Fprintf(&b, `<line x1="%.0f" y1="%d" x2="%.0f" y2="%d" stroke="#ee7733" stroke-width="3"/>`+"\n", x, y, x, y+chartHeight-2)
		}
	}
	fmt.Fprintf(&b, `<line x1="%d" y1="4" x2="%d" y2="%d" stroke="#cc3311"/><text x="%d" y="%d">the peer = 1</text>`+"\n",
		chartLeft+chartUnit, chartLeft+chartUnit, bottom+14, chartLeft+chartUnit+4, bottom+28)
	fmt.Fprintf(&b, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#ee7733" stroke-width="3"/><text x="%d" y="%d">the limit: a part that nobody can do without</text></svg>`+"\n",
		chartLeft, bottom+34, chartLeft, bottom+50, chartLeft+6, bottom+47)
	return b.String()
}
