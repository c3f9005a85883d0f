// Command faults strikes the tools and the ground that they stand on: kill and
// signals, errors of system calls, full disks, power cuts, a registry that
// misbehaves, and many at once. After each blow it checks that layouts verify
// with all their tags, that a bundle is whole or absent, that the next run
// succeeds, and that nothing is left: no mount, no process, no cgroup, no
// temporary file.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
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

func start(ctx context.Context) (err error) {
	points := flag.Int("points", 500, "try `N` points: all scenarios once, and system calls that the seed chooses")
	seed := flag.Uint64("seed", 1, "`NUMBER` that chooses the points")
	only := flag.String("op", "", "comma-separated `OPERATIONS` and scenarios; all when empty")
	skip := flag.Int("skip", 0, "leave out the first `N` points, which an earlier run has tried")
	one := flag.String("point", "", "repeat one `POINT`, as it was printed")
	bin := flag.String("bin", "bin", "`DIR` of the binaries")
	work := flag.String("work", "", "work below `DIR` (default a tmpfs with room, else a temporary directory)")
	jobs := flag.Int("jobs", 4, "try `N` points at once")
	end := flag.Duration("time", 0, "begin no further point after this `TIME`; 0 is no bound")
	list := flag.Bool("list", false, "print the operations and the scenarios")
	flag.Parse()
	if *list {
		printList()
		return nil
	}
	if err := able(); err != nil {
		return err
	}
	s, err := newSweep(*bin, *work)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	s.jobs = *jobs
	if *end > 0 {
		s.until = time.Now().Add(*end)
	}
	if *one != "" {
		t, err := parse(*one)
		if err != nil {
			return err
		}
		return s.try(ctx, []trial{t})
	}
	chosen, err := s.choose(*points, *seed, *only)
	if err != nil {
		return err
	}
	return s.try(ctx, chosen[min(max(0, *skip), len(chosen)):])
}

// able says what is missing.
func able() error {
	if os.Geteuid() != 0 {
		return errors.New("the sweep mounts and traces: run it as root")
	}
	for _, need := range []struct{ program, from string }{
		{"strace", "strace"}, {"mkfs.ext4", "e2fsprogs"}, {"prlimit", "util-linux"},
	} {
		if _, err := exec.LookPath(need.program); err != nil {
			return fmt.Errorf("%s is missing: apt-get install %s", need.program, need.from)
		}
	}
	return nil
}

func printList() {
	for _, op := range operations {
		fmt.Printf("%-10s struck at its system calls: %s\n", op.name, op.why)
	}
	for _, c := range scenarios {
		fmt.Printf("%-10s %s\n", c.name, c.why)
	}
}
