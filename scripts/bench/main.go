// Command bench measures the toolkit beside its peers: the same data, in turn,
// on fresh file systems, with the results compared before a time counts. It
// prints a table of medians and ratios; absolute times of a shared machine
// mean nothing.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/scripts/internal/measure"
)

// bench is one run of the whole.
type bench struct {
	bin, work, images string
	runtime           string
	runs              int
	budget            time.Duration
	quick, cold       bool
	tmpfs             bool
	measure           *measure.Runner
	registry          string
	registryCmd       *exec.Cmd
	pushed            map[string]bool
	preparing         bool
}

func main() {
	if err := start(); err != nil {
		fmt.Fprintln(os.Stderr, "bench: error:", err)
		os.Exit(1)
	}
}

func start() error {
	b := &bench{pushed: make(map[string]bool)}
	var only, image, out string
	var list, prepare, huge bool
	flag.StringVar(&only, "only", "", "comma-separated `TASKS`; all when empty")
	flag.StringVar(&image, "image", "", "comma-separated `IMAGES`; those of each task when empty")
	flag.StringVar(&b.bin, "bin", "bin", "`DIR` of our binaries")
	flag.StringVar(&b.work, "work", "build/bench/work", "`DIR` to work in")
	flag.StringVar(&b.images, "images", "build/bench/images", "`DIR` to keep the made images in")
	flag.StringVar(&out, "out", "build/bench/result", "`PREFIX` of the result: .md, .json and .svg are added")
	flag.StringVar(&b.runtime, "runtime", "runc", "OCI runtime, a `NAME` in PATH or a path, of all that run containers")
	flag.IntVar(&b.runs, "runs", 5, "at most `N` runs of each contender")
	flag.DurationVar(&b.budget, "budget", 40*time.Second, "after `TIME` a task runs each contender three times, and not more often")
	flag.BoolVar(&huge, "huge", false, "the images of 127 layers and of 4 GB, too")
	flag.BoolVar(&b.quick, "quick", false, "images a tenth of the size")
	flag.BoolVar(&b.cold, "cold", false, "drop the page cache before each run")
	flag.BoolVar(&b.tmpfs, "tmpfs", false, "work in a tmpfs in place of a fresh ext4")
	flag.BoolVar(&list, "list", false, "print the tasks and images")
	flag.BoolVar(&prepare, "prepare", false, "only make the images that are named by -image")
	flag.Parse()
	if list {
		return printList()
	}
	if os.Geteuid() != 0 {
		return errors.New("the bench mounts file systems: run it as root")
	}
	for _, dir := range []*string{&b.bin, &b.work, &b.images} {
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return err
		}
		*dir = abs
	}
	// Most tasks need no runtime.
	if path, err := exec.LookPath(b.runtime); err == nil {
		if b.runtime, err = filepath.Abs(path); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(b.images, 0o755); err != nil {
		return err
	}
	if prepare {
		b.preparing = true
		for name := range strings.SplitSeq(image, ",") {
			if _, err := b.layout(name); err != nil {
				return err
			}
		}
		return nil
	}
	defer b.stopRegistry()
	var err error
	if b.measure, err = measure.NewRunner(b.work); err != nil {
		return err
	}
	var rows []row
	for _, t := range tasks {
		if only != "" && !slices.Contains(strings.Split(only, ","), t.name) {
			continue
		}
		images := t.images
		if huge {
			images = append(slices.Clone(images), t.huge...)
		}
		for _, name := range images {
			if image != "" && !slices.Contains(strings.Split(image, ","), name) {
				continue
			}
			r, err := b.task(t, name)
			if err != nil {
				return fmt.Errorf("%s %s: %w", t.name, name, err)
			}
			rows = append(rows, r)
			fmt.Print(r.text())
			// After each task, so that a run that is broken off has told
			// what it knows.
			if err := report(out, b, rows); err != nil {
				return err
			}
		}
	}
	return nil
}

func printList() error {
	for _, t := range tasks {
		fmt.Printf("%-20s %s (%s)\n", t.name, t.why, strings.Join(t.images, ", "))
	}
	for _, s := range shapes {
		fmt.Printf("image %-14s %s: %d layers, %d files, %d MB\n", s.name, s.why, s.layers, s.files, s.bytes/1e6)
	}
	return nil
}

// layout makes the image, or the busybox image of the labs.
func (b *bench) layout(name string) (string, error) {
	if name == "busybox" {
		dir := filepath.Join(b.images, "busybox")
		if _, err := os.Stat(dir); err == nil {
			return dir, nil
		}
		return dir, measure.Command("scripts/lab-image", dir)
	}
	s, err := findShape(name)
	if err != nil {
		return "", err
	}
	if b.quick {
		s = s.quick()
	}
	if _, err := os.Stat(filepath.Join(s.path(b.images), "index.json")); err == nil || b.preparing {
		return s.ensure(b.images)
	}
	// In another process: this one stays small.
	args := []string{"/proc/self/exe", "-images", b.images, "-image", name, "-prepare"}
	if b.quick {
		args = append(args, "-quick")
	}
	return s.path(b.images), measure.Command(args...)
}

// task measures all contenders, in an order that turns round with each run.
func (b *bench) task(t task, image string) (row, error) {
	layout, err := b.layout(image)
	if err != nil {
		return row{}, err
	}
	var there []contender
	for _, c := range t.contenders {
		needs := c.needs
		if c.calls {
			needs = []string{b.runtime}
		}
		if !slices.ContainsFunc(needs, func(p string) bool { _, err := exec.LookPath(p); return err != nil }) {
			there = append(there, c)
		}
	}
	if strings.HasSuffix(image, "zstd") {
		there = slices.DeleteFunc(there, func(c contender) bool { return strings.HasPrefix(c.name, "umoci") })
	}
	r := row{Task: t.name, Image: image}
	for _, c := range there {
		r.Results = append(r.Results, result{Name: c.name, Limit: c.limit})
	}
	begun := time.Now()
	for n := range b.runs {
		if n >= 3 && time.Since(begun) > b.budget {
			break
		}
		r.Runs++
		for i := range there {
			// A B C, C B A, so that drift hits all alike.
			if n%2 == 1 {
				i = len(there) - 1 - i
			}
			if most := there[i].most; most > 0 && len(r.Results[i].Samples) >= most {
				continue
			}
			s, sum, err := b.once(t, there[i], layout, b.clock)
			if err != nil {
				return r, err
			}
			r.Results[i].Samples = append(r.Results[i].Samples, s.Sample)
			if sum != "" && r.Digest == "" {
				r.Digest = sum
			}
			if sum != "" && sum != r.Digest {
				return r, fmt.Errorf("%s made another result than the contenders before it", there[i].name)
			}
		}
	}
	if slices.Contains(counted, image) {
		for i, c := range there {
			if c.most == 1 {
				continue // it is slow enough when nobody counts
			}
			s, _, err := b.once(t, c, layout, b.countCalls)
			if err != nil {
				return r, err
			}
			r.Results[i].Calls = s.calls
		}
	}
	return r, nil
}

// counted are the images that are small enough to count system calls on them.
var counted = []string{"tiny", "one", "busybox"}

// taken is what was measured of one run: a sample, or the system calls.
type taken struct {
	measure.Sample
	calls int64
}

func (b *bench) clock(r *run, c contender) (taken, error) {
	s, err := b.measure.Run(r.work, c.argv(r), c.env)
	return taken{Sample: s}, err
}

func (b *bench) countCalls(r *run, c contender) (taken, error) {
	n, err := b.measure.Calls(r.work, c.argv(r), c.env)
	if errors.Is(err, measure.ErrNoCounter) {
		err = nil
	}
	return taken{calls: n}, err
}

// once runs one contender once, and has take measure it.
func (b *bench) once(t task, c contender, layout string, take func(*run, contender) (taken, error)) (s taken, sum string, err error) {
	if err := os.MkdirAll(b.work, 0o755); err != nil {
		return s, "", err
	}
	r := &run{bench: b, layout: layout}
	if t.fresh {
		fresh, err := b.freshFS()
		if err != nil {
			return s, "", err
		}
		defer func() { err = errors.Join(err, fresh.Close()) }()
		r.work = fresh.Dir
	} else {
		if r.work, err = os.MkdirTemp(b.work, "run"); err != nil {
			return s, "", err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(r.work)) }()
	}
	if c.prepare != nil {
		if err := c.prepare(r); err != nil {
			return s, "", fmt.Errorf("%s: prepare: %w", c.name, err)
		}
	}
	measure.Settle()
	if b.cold {
		if err := measure.DropCaches(); err != nil {
			return s, "", err
		}
	}
	s, err = take(r, c)
	if err == nil && c.result != nil {
		sum, err = c.result(r)
	}
	if c.cleanup != nil {
		err = errors.Join(err, c.cleanup(r))
	}
	return s, sum, err
}

func (b *bench) freshFS() (*measure.FS, error) {
	const size, inodes = 12 << 30, 400_000
	if b.tmpfs {
		return measure.FreshTmpfs(b.work, size, inodes)
	}
	return measure.FreshFS(b.work, size, inodes)
}

// startRegistry starts the loopback registry of the labs.
func (b *bench) startRegistry() error {
	if b.registry != "" {
		return nil
	}
	binary := filepath.Join(b.work, "lab-registry")
	if err := measure.Command("go", "build", "-o", binary, "./scripts/lab-registry"); err != nil {
		return err
	}
	cmd := exec.Command(binary, filepath.Join(b.work, "registry"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	b.registryCmd = cmd
	line, err := bufio.NewReader(out).ReadString('\n')
	b.registry = strings.TrimSpace(line)
	return err
}

func (b *bench) stopRegistry() {
	if b.registryCmd != nil {
		_ = b.registryCmd.Process.Signal(unix.SIGTERM)
		_ = b.registryCmd.Wait()
	}
}

func readManifest(layout string) (*ispec.Manifest, error) {
	var index ispec.Index
	if err := readJSON(filepath.Join(layout, "index.json"), &index); err != nil {
		return nil, err
	}
	var m ispec.Manifest
	return &m, readJSON(filepath.Join(layout, "blobs", "sha256", index.Manifests[0].Digest.Encoded()), &m)
}

func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}
