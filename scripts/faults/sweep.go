package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// sweep is a number of points to be tried, and what they share.
type sweep struct {
	bin, image, work string
	program          string // a bundle that runs and ends; empty without a runtime
	registry         *flaky
	jobs             int
	until            time.Time
	counts           map[string]map[string]int
	needsMu          sync.Mutex
	needs            map[string]usage
}

// trial is something that can be tried. Its string repeats it.
type trial interface {
	fmt.Stringer
	// try reports whether the fault struck at all, and what did not hold.
	try(ctx context.Context, s *sweep) (struck bool, err error)
}

// newSweep makes the images of a sweep in a directory of its own below work;
// when that is empty, in memory if there is room.
func newSweep(bin, work string) (*sweep, error) {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return nil, err
	}
	if work == "" {
		work = memory()
	}
	work, err = os.MkdirTemp(work, "faults")
	if err != nil {
		return nil, err
	}
	s := &sweep{bin: bin, work: work, image: filepath.Join(work, "image"), jobs: 4, counts: make(map[string]map[string]int), needs: make(map[string]usage)}
	if err := s.makeImages(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if s.registry, err = startFlaky(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	push := exec.Command(filepath.Join(bin, "oci-copy"), "-q", "--dest-tls-verify=false", "oci:"+s.image+":layers", "docker://"+s.registry.addr+"/ok/img:t")
	if out, err := push.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("fill the registry: %w: %s", err, out), s.close())
	}
	return s, nil
}

// memory is a directory in a tmpfs, or none. A disk's flushes would be half of
// the time of a sweep, and no fault needs them: what a power cut leaves is tried
// on disks of its own.
func memory() string {
	const dir, room = "/dev/shm", 2 << 30
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil || st.Type != unix.TMPFS_MAGIC || st.Flags&unix.ST_NOEXEC != 0 || int64(st.Bavail)*st.Bsize < room {
		return ""
	}
	return dir
}

func (s *sweep) close() error {
	if s.registry != nil {
		s.registry.close()
	}
	// A point that was broken off has not taken its mounts away.
	mounts, err := mountsBelow(s.work)
	for _, dir := range slices.Backward(mounts) {
		err = errors.Join(err, unix.Unmount(dir, unix.MNT_DETACH))
	}
	return errors.Join(err, os.RemoveAll(s.work))
}

// makeImages makes a layout with a small image of one layer, "lab", and one of
// five layers, "layers", the last of which does not fit into a buffer; a layout
// with the tags "old" and "older" to copy to; and a bundle for oci-run.
func (s *sweep) makeImages() error {
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
for n in 2 3 4 5; do
	cp -a tree/d$n b/rootfs/d$n; rm -f b/rootfs/f$n
	[ $n -lt 5 ] || head -c 1500000 /dev/urandom >b/rootfs/noise
	"$2/oci-commit" -q b oci:image:layers
done
rm -rf b tree
"$2/oci-copy" -q oci:image:lab oci:shared:old
"$2/oci-copy" -q oci:image:lab oci:shared:older
command -v runc >/dev/null || exit 0
mkdir tree; cp "$2/oci-genspec" tree/program
"$2/oci-commit" -q --from scratch --entrypoint /program --cmd --version tree oci:program.image:t
"$2/oci-unpack" -q program.image:t program
"$2/oci-genspec" -q --tty=false program
rm -rf tree program.image`
	out, err := exec.Command("sh", "-c", script, "sh", s.work, s.bin).CombinedOutput()
	if err != nil {
		return fmt.Errorf("make the images: %w: %s", err, out)
	}
	if _, err := os.Stat(filepath.Join(s.work, "program")); err == nil {
		s.program = filepath.Join(s.work, "program")
	}
	return nil
}

// choose takes every scenario once, and points at random among all calls of
// all operations.
func (s *sweep) choose(n int, seed uint64, only string) ([]trial, error) {
	rng := rand.New(rand.NewPCG(seed, 42))
	wanted := func(name string) bool { return only == "" || slices.Contains(strings.Split(only, ","), name) }
	var chosen []trial
	for _, c := range scenarios {
		if wanted(c.name) {
			chosen = append(chosen, c.all(rng, n)...)
		}
	}
	rng.Shuffle(len(chosen), func(i, j int) { chosen[i], chosen[j] = chosen[j], chosen[i] })
	// A few points are for the calls even where there are many scenarios.
	chosen = chosen[:min(len(chosen), (n+1)/2)]
	var ops []operation
	for _, op := range operations {
		if !wanted(op.name) || op.runs && s.program == "" {
			continue
		}
		counts, err := s.count(op)
		if err != nil {
			return nil, err
		}
		s.counts[op.name] = counts
		ops = append(ops, op)
	}
	if len(ops) == 0 {
		return chosen, nil
	}
	for len(chosen) < n {
		op := ops[rng.IntN(len(ops))]
		counts := s.counts[op.name]
		class := slices.Sorted(maps.Keys(counts))[rng.IntN(len(counts))]
		chosen = append(chosen, point{op: op.name, class: class, kind: kinds[class][rng.IntN(len(kinds[class]))], n: 1 + rng.IntN(counts[class])})
	}
	return chosen, nil
}

// parse finds the trial that prints itself so.
func parse(name string) (trial, error) {
	first, _, _ := strings.Cut(name, ":")
	for _, c := range scenarios {
		if c.name == first {
			return c.parse(name)
		}
	}
	return parsePoint(name)
}

// env makes a directory and what the operation starts from.
func (s *sweep) env(op operation) (*env, func(), error) {
	dir, err := os.MkdirTemp(s.work, "point")
	if err != nil {
		return nil, nil, err
	}
	e, err := s.envAt(dir, op)
	return e, func() { _ = os.RemoveAll(dir) }, err
}

// envAt makes what the operation starts from in an empty directory.
func (s *sweep) envAt(dir string, op operation) (*env, error) {
	e := &env{bin: s.bin, image: s.image, shared: filepath.Join(s.work, "shared"), program: s.program, registry: s.registry.addr, dir: dir, id: filepath.Base(s.work) + filepath.Base(dir)}
	return e, errors.Join(os.Mkdir(e.path("tmp"), 0o700), op.prepare(e))
}

// tally is what came out.
type tally struct {
	sync.Mutex
	tried, struck, failed int
}

// try tries the points, some at once, and prints what did not hold.
func (s *sweep) try(ctx context.Context, trials []trial) error {
	var sum tally
	next := make(chan trial)
	var group sync.WaitGroup
	for range max(1, s.jobs) {
		group.Go(func() {
			for t := range next {
				struck, err := t.try(ctx, s)
				sum.add(ctx, t, struck, err)
			}
		})
	}
	begun := time.Now()
	for _, t := range trials {
		if ctx.Err() != nil || !s.until.IsZero() && time.Now().After(s.until) {
			break
		}
		next <- t
	}
	close(next)
	group.Wait()
	fmt.Printf("faults: %d points tried in %s, %d struck, %d survived, %d failed\n",
		sum.tried, time.Since(begun).Round(time.Second), sum.struck, sum.tried-sum.failed, sum.failed)
	if sum.failed > 0 {
		return fmt.Errorf("%d of %d points failed", sum.failed, sum.tried)
	}
	return ctx.Err()
}

func (t *tally) add(ctx context.Context, what trial, struck bool, err error) {
	t.Lock()
	defer t.Unlock()
	if err != nil && ctx.Err() != nil {
		return // it was the sweep that was stopped
	}
	t.tried++
	if t.tried%1_000 == 0 {
		fmt.Printf("faults: %d points tried, %d failed so far\n", t.tried, t.failed)
	}
	if struck {
		t.struck++
	}
	if err != nil {
		t.failed++
		fmt.Printf("FAIL %s: %v\n  repeat: go run ./scripts/faults -point %s\n", what, err, what)
	}
}
