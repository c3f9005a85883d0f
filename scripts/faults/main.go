// Command faults strikes the tools at their system calls — kill, signal, full
// disk, I/O error, too many files — and checks after each blow that layouts
// verify with all their tags, that a bundle is whole or absent, that the next
// run succeeds, and that nothing is left: no mount, no temporary file.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := start(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults: error:", err)
		os.Exit(1)
	}
}

// sweep is a number of points to be tried.
type sweep struct {
	bin, image, work string
	counts           map[string]map[string]int
}

func start(ctx context.Context) (err error) {
	points := flag.Int("points", 500, "try `N` points, chosen by the seed")
	seed := flag.Uint64("seed", 1, "`NUMBER` that chooses the points")
	only := flag.String("op", "", "comma-separated `OPERATIONS`; all when empty")
	one := flag.String("point", "", "repeat one `OP:CLASS:KIND:N`")
	bin := flag.String("bin", "bin", "`DIR` of the binaries")
	work := flag.String("work", "", "work below `DIR` (default a temporary directory)")
	flag.Parse()
	if os.Geteuid() != 0 {
		return errors.New("the sweep mounts and traces: run it as root")
	}
	if _, err := exec.LookPath("strace"); err != nil {
		return errors.New("strace is missing: apt-get install strace")
	}
	s, err := newSweep(*bin, *work)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.work)) }()
	var chosen []point
	if *one != "" {
		p, err := parsePoint(*one)
		if err != nil {
			return err
		}
		chosen = []point{p}
	} else if chosen, err = s.choose(*points, *seed, *only); err != nil {
		return err
	}
	return s.try(ctx, chosen)
}

func newSweep(bin, work string) (*sweep, error) {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return nil, err
	}
	work, err = os.MkdirTemp(work, "faults")
	if err != nil {
		return nil, err
	}
	s := &sweep{bin: bin, work: work, image: filepath.Join(work, "image"), counts: make(map[string]map[string]int)}
	return s, s.makeImage()
}

// makeImage makes a layout with a small image of one layer, "lab", and one of
// five layers, "layers".
func (s *sweep) makeImage() error {
	const script = `set -eu
cd "$1"; mkdir -p tree
for n in 1 2 3 4 5; do
	mkdir -p tree/d$n/sub; ln -sf sub tree/d$n/link
	i=0; while [ $i -lt 12 ]; do echo "$n $i" >tree/d$n/f$i; i=$((i+1)); done
	ln -f tree/d$n/f1 tree/d$n/hard
done
"$2/oci-commit" -q --from scratch tree oci:image:lab
"$2/oci-commit" -q --from scratch tree/d1 oci:image:layers
"$2/oci-unpack" -q image:layers b
for n in 2 3 4 5; do cp -a tree/d$n b/rootfs/d$n; rm -f b/rootfs/f$n; "$2/oci-commit" -q b oci:image:layers; done
rm -rf b tree`
	out, err := exec.Command("sh", "-c", script, "sh", s.work, s.bin).CombinedOutput()
	if err != nil {
		return fmt.Errorf("make the image: %w: %s", err, out)
	}
	return nil
}

// choose picks points at random among all calls of all operations.
func (s *sweep) choose(n int, seed uint64, only string) ([]point, error) {
	rng := rand.New(rand.NewPCG(seed, 42))
	var ops []operation
	for _, op := range operations {
		if only != "" && !slices.Contains(strings.Split(only, ","), op.name) {
			continue
		}
		counts, err := s.count(op)
		if err != nil {
			return nil, err
		}
		s.counts[op.name] = counts
		ops = append(ops, op)
	}
	var points []point
	for len(points) < n {
		op := ops[rng.IntN(len(ops))]
		counts := s.counts[op.name]
		names := slices.Sorted(maps.Keys(counts))
		class := names[rng.IntN(len(names))]
		points = append(points, point{op: op.name, class: class, kind: kinds[class][rng.IntN(len(kinds[class]))], n: 1 + rng.IntN(counts[class])})
	}
	return points, nil
}

func (s *sweep) count(op operation) (map[string]int, error) {
	e, done, err := s.env(op)
	if err != nil {
		return nil, err
	}
	defer done()
	counts, err := count(e.dir, op.argv(e), nil)
	if err == nil && op.tidy != nil {
		err = op.tidy(e)
	}
	return counts, err
}

// env makes a directory and what the operation starts from.
func (s *sweep) env(op operation) (*env, func(), error) {
	dir, err := os.MkdirTemp(s.work, "point")
	if err != nil {
		return nil, nil, err
	}
	e := &env{bin: s.bin, image: s.image, dir: dir}
	return e, func() { _ = os.RemoveAll(dir) }, op.prepare(e)
}

// try strikes at each point, and prints what did not hold.
func (s *sweep) try(ctx context.Context, points []point) error {
	tried, struck, failed := 0, 0, 0
	for _, p := range points {
		if ctx.Err() != nil {
			break
		}
		tried++
		hit, err := s.tryOne(ctx, p)
		if hit {
			struck++
		}
		if err != nil {
			failed++
			fmt.Printf("FAIL %s: %v\n  repeat: go run ./scripts/faults -point %s\n", p, err, p)
		}
	}
	fmt.Printf("faults: %d points tried, %d struck, %d survived, %d failed\n", tried, struck, tried-failed, failed)
	if failed > 0 {
		return fmt.Errorf("%d of %d points failed", failed, tried)
	}
	return ctx.Err()
}

// tryOne strikes once, checks, runs again without a fault, and checks again.
func (s *sweep) tryOne(ctx context.Context, p point) (struck bool, err error) {
	i := slices.IndexFunc(operations, func(op operation) bool { return op.name == p.op })
	if i < 0 {
		return false, fmt.Errorf("no operation %q", p.op)
	}
	op := operations[i]
	e, done, err := s.env(op)
	if err != nil {
		return false, err
	}
	defer done()
	out, err := strike(ctx, e.dir, p, op.argv(e), nil)
	if err != nil {
		return out.struck, err
	}
	if err := honest(p, out); err != nil {
		return out.struck, err
	}
	if err := op.check(e, out.status == 0); err != nil {
		return out.struck, fmt.Errorf("after the blow (status %d, %s): %w", out.status, strings.TrimSpace(out.stderr), err)
	}
	if err := s.again(op, e, out.status == 0); err != nil {
		return out.struck, fmt.Errorf("the next run (the blow ended with status %d, %s): %w", out.status, strings.TrimSpace(out.stderr), err)
	}
	return out.struck, nil
}

// honest checks what the struck tool said: a failure has one clear line, and
// only a success prints a record.
func honest(p point, out outcome) error {
	switch {
	case out.signal == syscall.SIGKILL || out.status == 137:
		return nil
	case strings.Contains(out.stderr, "netpollBreak write failed"):
		// The blow struck the Go runtime's own eventfd, whose write cannot
		// fail so on a real kernel.
		return nil
	case strings.Contains(out.stderr, "panic:") || strings.Contains(out.stderr, "goroutine "):
		return fmt.Errorf("the tool panicked: %s", out.stderr)
	case p.class == "write" && out.stderr == "":
		// The blow struck the error line itself.
		return nil
	case out.status != 0 && !strings.Contains(out.stderr, ": error: "):
		return fmt.Errorf("status %d without an error line: %q", out.status, out.stderr)
	case out.status != 0 && out.stdout != "" && p.class != "close":
		return fmt.Errorf("status %d, and yet a record: %q", out.status, out.stdout)
	}
	return nil
}

// again runs the operation without a fault: it must succeed, or say that what
// it shall make is there already, and leave nothing behind.
func (s *sweep) again(op operation, e *env, done bool) error {
	if !done && !madeAlready(op, e) {
		if err := e.do(op.argv(e)...); err != nil {
			return err
		}
		if err := op.check(e, true); err != nil {
			return err
		}
	}
	if op.tidy != nil {
		if err := op.tidy(e); err != nil {
			return err
		}
	}
	mounts, err := mountsBelow(e.dir)
	if err == nil && len(mounts) > 0 {
		err = fmt.Errorf("still mounted: %s", strings.Join(mounts, ", "))
	}
	return errors.Join(err, strays(e.dir))
}

// madeAlready reports that the struck run got as far as publishing.
func madeAlready(op operation, e *env) bool {
	switch op.name {
	case "unpack", "mount":
		_, err := os.Lstat(e.path("b"))
		return err == nil
	case "umount":
		_, err := os.Lstat(e.path("b"))
		return err != nil
	default:
		return false
	}
}

func parsePoint(s string) (point, error) {
	parts := strings.Split(s, ":")
	if len(parts) != 4 || classes[parts[1]] == "" {
		return point{}, fmt.Errorf("%q is not OP:CLASS:KIND:N", s)
	}
	n, err := strconv.Atoi(parts[3])
	return point{op: parts[0], class: parts[1], kind: kind(parts[2]), n: n}, err
}
