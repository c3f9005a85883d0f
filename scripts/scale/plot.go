package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/scripts/internal/measure"
)

// colours that people who see colours differently can tell apart (Paul Tol).
var colours = []string{"#4477aa", "#ee6677", "#228833", "#aa3377", "#ccbb44", "#66ccee"}

// Sizes of a picture, in pixels: a panel for each metric, one beside the other.
const (
	panelWidth, panelHeight = 300, 240
	gap, above, below       = 60, 30, 60
)

// plot draws the curve as a log-log picture.
func plot(r result) string {
	var b strings.Builder
	width, height := len(metrics)*(panelWidth+gap)+gap, above+panelHeight+below
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	for i, m := range metrics {
		p := newPanel(r, m, gap+i*(panelWidth+gap))
		p.draw(&b, r)
	}
	for i, l := range r.Ops {
		x := gap + i*110
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="14" height="3" fill="%s"/><text x="%d" y="%d">%s</text>`+"\n",
			x, height-16, colours[i%len(colours)], x+18, height-11, measure.EscapeXML(l.Name))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// panel maps one metric to a part of the picture.
type panel struct {
	metric     metric
	left       int
	x0, x1     float64 // decades
	y0, y1     float64
	horizontal string
}

func newPanel(r result, m metric, left int) panel {
	p := panel{metric: m, left: left, x0: math.Inf(1), x1: math.Inf(-1), y0: math.Inf(1), y1: math.Inf(-1), horizontal: r.Unit}
	for _, l := range r.Ops {
		for _, pt := range l.Points {
			x, y := math.Log10(float64(pt.N)), decades(m.of(pt))
			p.x0, p.x1, p.y0, p.y1 = min(p.x0, x), max(p.x1, x), min(p.y0, y), max(p.y1, y)
		}
	}
	p.x0, p.x1 = math.Floor(p.x0), max(math.Floor(p.x0)+1, math.Ceil(p.x1))
	p.y0, p.y1 = math.Floor(p.y0), max(math.Floor(p.y0)+1, math.Ceil(p.y1))
	return p
}

func decades(v float64) float64 { return math.Log10(max(v, 1e-3)) }

// at is where the decades x and y lie in the picture.
func (p panel) at(x, y float64) (px, py float64) {
	return float64(p.left) + (x-p.x0)/(p.x1-p.x0)*panelWidth,
		above + panelHeight - (y-p.y0)/(p.y1-p.y0)*panelHeight
}

func (p panel) draw(b *strings.Builder, r result) {
	fmt.Fprintf(b, `<text x="%d" y="18" font-size="13">%s, %s</text>`+"\n", p.left, p.metric.name, p.metric.unit)
	for x := p.x0; x <= p.x1; x++ {
		px, _ := p.at(x, 0)
		fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#ddd"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n",
			px, above, px, above+panelHeight, px, above+panelHeight+14, human(int64(math.Round(math.Pow(10, x)))))
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", p.left+panelWidth/2, above+panelHeight+28, measure.EscapeXML(p.horizontal))
	for y := p.y0; y <= p.y1; y++ {
		_, py := p.at(p.x0, y)
		fmt.Fprintf(b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%g</text>`+"\n",
			p.left, py, p.left+panelWidth, py, p.left-5, py+4, math.Pow(10, y))
		p.slope(b, y)
	}
	for i, l := range r.Ops {
		var path strings.Builder
		for _, pt := range l.Points {
			x, y := p.at(math.Log10(float64(pt.N)), decades(p.metric.of(pt)))
			fmt.Fprintf(&path, "%.1f,%.1f ", x, y)
			fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="2.5" fill="%s"/>`+"\n", x, y, colours[i%len(colours)])
		}
		fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="1.5"/>`+"\n", strings.TrimSpace(path.String()), colours[i%len(colours)])
	}
}

// slope draws what linear growth from the decade y at the left edge looks like,
// as far as the panel reaches.
func (p panel) slope(b *strings.Builder, y float64) {
	length := min(p.x1-p.x0, p.y1-y)
	x1, y1 := p.at(p.x0, y)
	x2, y2 := p.at(p.x0+length, y+length)
	fmt.Fprintf(b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#aaa" stroke-dasharray="3 4"/>`+"\n", x1, y1, x2, y2)
}
