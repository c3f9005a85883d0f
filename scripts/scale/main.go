// Command scale measures how time and memory of the tools grow with the number
// of layers, files, bytes, containers and tags. It makes its own images, runs
// each point on a fresh file system, and tells for each curve whether it is
// linear or better. The pictures are log-log: linear growth has the slope of
// the dashed lines.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/scripts/internal/measure"
)

// scale is one run of the whole.
type scale struct {
	bin, work, images string
	runs              int
	quick, full       bool
	tmpfs             bool
	measure           *measure.Runner
}

func main() {
	if err := start(); err != nil {
		fmt.Fprintln(os.Stderr, "scale: error:", err)
		os.Exit(1)
	}
}

func start() error {
	s := &scale{}
	var only, out, prepare string
	var list bool
	flag.StringVar(&only, "only", "", "comma-separated `CURVES`; all when empty")
	flag.StringVar(&s.bin, "bin", "bin", "`DIR` of our binaries")
	flag.StringVar(&s.work, "work", "build/scale/work", "`DIR` to work in")
	flag.StringVar(&s.images, "images", "build/scale/images", "`DIR` to keep the made images in")
	flag.StringVar(&out, "out", "build/scale/result", "`DIR` of the result: result.md, result.json and a picture of each curve")
	flag.IntVar(&s.runs, "runs", 3, "at most `N` runs of each point, of which the least counts; long ones run once")
	flag.BoolVar(&s.quick, "quick", false, "few and small points, each once and in a tmpfs, and CPU and memory judged: done within a minute")
	flag.BoolVar(&s.full, "full", false, "the largest points, too: 10^6 files, 10 GB, 200 containers")
	flag.BoolVar(&s.tmpfs, "tmpfs", false, "work in a tmpfs in place of a fresh ext4")
	flag.BoolVar(&list, "list", false, "print the curves")
	flag.StringVar(&prepare, "prepare", "", "only make the image `CURVE=N`")
	flag.Parse()
	for _, dir := range []*string{&s.bin, &s.work, &s.images} {
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return err
		}
		*dir = abs
	}
	switch {
	case list:
		for _, c := range curves {
			fmt.Printf("%-12s %s: %v\n", c.name, c.why, s.points(c))
		}
		return nil
	case prepare != "":
		return s.prepare(prepare)
	case os.Geteuid() != 0:
		return errors.New("the scale test mounts file systems: run it as root")
	}
	if s.quick {
		s.tmpfs, s.runs = true, 1
	}
	var err error
	if s.measure, err = measure.NewRunner(s.work); err != nil {
		return err
	}
	// The terminal's signal ends the program that is measured as well; this
	// one lives on to unmount what it has mounted.
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	var results []result
	var bad []string
	for _, c := range curves {
		if only != "" && !slices.Contains(strings.Split(only, ","), c.name) {
			continue
		}
		r, err := s.curve(ctx, c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		results = append(results, r)
		bad = append(bad, r.bad()...)
		fmt.Print(r.text())
		// After each curve, so that a run that is broken off has told
		// what it knows.
		if err := s.report(out, results); err != nil {
			return err
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("not as it should be: %s", strings.Join(bad, ", "))
	}
	return nil
}

// points are the numbers at which the curve is measured in this run.
func (s *scale) points(c curve) []int64 {
	switch {
	case s.quick:
		return c.quick
	case s.full:
		return append(slices.Clone(c.points), c.full...)
	default:
		return c.points
	}
}

// curve measures all operations of a curve at all of its points.
func (s *scale) curve(ctx context.Context, c curve) (result, error) {
	r := result{Curve: c.name, Why: c.why, Unit: c.unit}
	for _, o := range c.ops {
		limits := o.limits()
		if s.quick { // one run's wall time tells more of the machine than of the tool
			limits.Wall = math.MaxFloat64
		}
		r.Ops = append(r.Ops, line{Name: o.name, Why: o.why, Limits: limits})
	}
	for _, n := range s.points(c) {
		layout, err := s.layout(c, n)
		if err != nil {
			return r, err
		}
		for i, o := range c.ops {
			if err := ctx.Err(); err != nil {
				return r, err
			}
			if o.most > 0 && n > o.most || r.Ops[i].Failed != "" {
				continue
			}
			best, err := s.point(c, o, layout, n)
			if err != nil {
				r.Ops[i].Failed = fmt.Sprintf("fails at %s", human(n))
				fmt.Fprintf(os.Stderr, "scale: %s %s %d: %v\n", c.name, o.name, n, err)
				continue
			}
			fmt.Fprintf(os.Stderr, "scale: %s %s %d: wall %.3f s, CPU %.3f s, memory %.1f MB\n",
				c.name, o.name, n, best.Wall.Seconds(), best.CPU.Seconds(), float64(best.RSS)/1024)
			r.Ops[i].Points = append(r.Ops[i].Points, point{N: n, Sample: best})
		}
	}
	return r, nil
}

// layout makes the image of a point, in another process: this one stays small.
func (s *scale) layout(c curve, n int64) (string, error) {
	if c.alike {
		n = 1
	}
	arg := fmt.Sprintf("%s=%d", c.name, n)
	return filepath.Join(s.images, arg), measure.Command("/proc/self/exe", "-images", s.images, "-prepare", arg)
}

func (s *scale) prepare(arg string) error {
	name, number, _ := strings.Cut(arg, "=")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return err
	}
	for _, c := range curves {
		if c.name == name {
			return errors.Join(os.MkdirAll(s.images, 0o755), c.image(filepath.Join(s.images, arg), n))
		}
	}
	return fmt.Errorf("no curve %q", name)
}

// point runs an operation some times, and keeps the least of each figure:
// whatever else the machine does can only add to it.
func (s *scale) point(c curve, o op, layout string, n int64) (best measure.Sample, err error) {
	for i := range s.runs {
		sample, err := s.once(c, o, layout, n)
		if err != nil {
			return best, err
		}
		if i == 0 {
			best = sample
		}
		best = measure.Sample{Wall: min(best.Wall, sample.Wall), CPU: min(best.CPU, sample.CPU), RSS: min(best.RSS, sample.RSS)}
		if sample.Wall > 3*time.Second {
			break
		}
	}
	return best, nil
}

// once runs an operation once, on a file system of its own.
func (s *scale) once(c curve, o op, layout string, n int64) (sample measure.Sample, err error) {
	if err := os.MkdirAll(s.work, 0o755); err != nil {
		return sample, err
	}
	fresh, err := s.freshFS(c.inodes(n))
	if err != nil {
		return sample, err
	}
	defer func() { err = errors.Join(err, fresh.Close()) }()
	r := &run{scale: s, layout: layout, work: fresh.Dir, n: n}
	if o.cleanup != nil {
		defer func() { err = errors.Join(err, o.cleanup(r)) }()
	}
	if o.prepare != nil {
		if err := o.prepare(r); err != nil {
			return sample, fmt.Errorf("prepare: %w", err)
		}
	}
	if !s.tmpfs { // what is in one is never written back
		measure.Settle()
	}
	sample, err = s.measure.Run(r.work, o.argv(r), nil)
	if err == nil && o.memory != nil {
		sample.RSS, err = o.memory(r)
	}
	return sample, err
}

func (s *scale) freshFS(inodes int64) (*measure.FS, error) {
	const size = 16 << 30
	if s.tmpfs {
		return measure.FreshTmpfs(s.work, size, inodes)
	}
	return measure.FreshFS(s.work, size, inodes)
}

// run is one run of one operation.
type run struct {
	scale  *scale
	layout string // of the image
	work   string // an empty directory
	n      int64
}

func (r *run) bin(tool string) string { return filepath.Join(r.scale.bin, tool) }

// shell is a script that fails when any of its commands fails. It has the
// directory of the binaries as $B, the layout as $L, and the number as $N.
func (r *run) shell(script string) []string {
	vars := fmt.Sprintf("B=%q L=%q N=%d; ", r.scale.bin, r.layout, r.n)
	return []string{"bash", "-euo", "pipefail", "-c", vars + script}
}

func (r *run) script(script string) error {
	cmd := exec.Command(r.shell(script)[0], r.shell(script)[1:]...)
	cmd.Dir = r.work
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", script, err, measure.Tail(string(out), 2000))
	}
	return nil
}
