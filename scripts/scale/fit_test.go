package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/oci-plumbing/oci-plumbing/scripts/internal/measure"
)

// made are points of y = fixed + slope·n^k seconds, and of as many KiB.
func made(fixed, slope, k float64) []point {
	var points []point
	for _, n := range []int64{1, 10, 100, 1_000, 3_000, 10_000} {
		y := fixed + slope*math.Pow(float64(n), k)
		d := time.Duration(y * float64(time.Second))
		points = append(points, point{N: n, Sample: measure.Sample{Wall: d, CPU: d, RSS: int64(y)}})
	}
	return points
}

func TestVerdict(t *testing.T) {
	growing := limits{Wall: linear, CPU: linear, Memory: linear}
	still := limits{Wall: linear, CPU: linear, Memory: constant}
	for name, tc := range map[string]struct {
		points []point
		limits limits
		want   string
	}{
		"constant":                 {made(5, 0, 1), still, goodAndFlat},
		"linear":                   {made(0, 2, 1), growing, good},
		"a start, then linear":     {made(20, 0.1, 1), growing, good},
		"n log n":                  {made(0, 1, 1.1), growing, good},
		"quadratic":                {made(0, 1, 2), growing, "WORSE THAN LINEAR"},
		"quadratic behind a start": {made(1_000, 0.01, 2), growing, "WORSE THAN LINEAR"},
		"memory":                   {made(5, 1, 1), still, "MEMORY GROWS"},
		"one point":                {made(5, 1, 1)[:1], growing, good},
		"none":                     {nil, growing, good},
	} {
		if got := grow(tc.points).verdict(tc.limits); got != tc.want {
			t.Errorf("%s: exponents %+v, verdict %q, want %q", name, grow(tc.points), got, tc.want)
		}
	}
}

func TestExponent(t *testing.T) {
	for _, k := range []float64{0, 0.5, 1, 2} {
		if got := grow(made(0, 3, k)).Wall; math.Abs(got-k) > 0.01 {
			t.Errorf("exponent of n^%g = %g", k, got)
		}
	}
}

func TestPlotIsXML(t *testing.T) {
	r := result{Curve: "c", Why: "a & b", Unit: "files <n>", Ops: []line{{Name: "x<y", Points: made(1, 1, 1)}, {Name: "failed", Failed: "fails at 1"}}}
	d := xml.NewDecoder(strings.NewReader(plot(r)))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("plot: %v\n%s", err, plot(r))
		}
	}
	if strings.Contains(plot(r), "NaN") {
		t.Error("a coordinate is no number")
	}
	if text := r.text(); !strings.Contains(text, "| x<y | wall, s |") || !strings.Contains(text, "fails at 1") {
		t.Errorf("table:\n%s", text)
	}
}
