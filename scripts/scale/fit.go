package main

import (
	"math"

	"github.com/oci-plumbing/oci-plumbing/scripts/internal/measure"
)

// Exponents k of y = c·n^k that are accepted: what lies above 1 and 0 is left
// to the noise of a machine that does other things as well.
const (
	linear   = 1.15
	constant = 0.1
)

// limits are the greatest exponents of a line.
type limits struct {
	Wall, CPU, Memory float64
}

// point is one measured point of a line.
type point struct {
	N int64 `json:"n"`
	measure.Sample
}

// exponents are how the figures of a line grow at its upper end.
type exponents struct {
	Wall, CPU, Memory float64
}

// grow fits the upper end: the last decade, and at least three points. Over
// the whole, the fixed cost of a start would hide how the end bends upwards.
func grow(points []point) exponents {
	end := upper(points)
	return exponents{
		Wall:   exponent(end, func(p point) float64 { return p.Wall.Seconds() }),
		CPU:    exponent(end, func(p point) float64 { return p.CPU.Seconds() }),
		Memory: exponent(end, func(p point) float64 { return float64(p.RSS) }),
	}
}

func upper(points []point) []point {
	from := max(0, len(points)-3)
	for from > 0 && points[from-1].N*10 >= points[len(points)-1].N {
		from--
	}
	return points[from:]
}

// exponent is the slope of the least-squares line through the logarithms. A
// line of fewer than two points does not grow.
func exponent(points []point, of func(point) float64) float64 {
	var n, sx, sy, sxx, sxy float64
	for _, p := range points {
		// Times below a millisecond are those of the clock.
		x, y := math.Log(float64(p.N)), math.Log(max(of(p), 1e-3))
		n, sx, sy, sxx, sxy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	if d := n*sxx - sx*sx; d > 0 {
		return (n*sxy - sx*sy) / d
	}
	return 0
}

// Verdicts.
const (
	good        = "linear or better"
	goodAndFlat = "linear or better, memory flat"
)

// verdict tells in words whether the exponents are within the limits.
func (e exponents) verdict(l limits) string {
	flat := l.Memory == constant
	switch {
	case e.Wall > l.Wall, e.CPU > l.CPU:
		return "WORSE THAN LINEAR"
	case e.Memory > l.Memory && flat:
		return "MEMORY GROWS"
	case e.Memory > l.Memory:
		return "MEMORY WORSE THAN LINEAR"
	case flat:
		return goodAndFlat
	default:
		return good
	}
}
