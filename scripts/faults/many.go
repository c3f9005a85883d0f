package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// crowds are what many can do at once.
var crowds = map[string]func(ctx context.Context, e *env, n int) error{
	"copy": crowdOfWriters, "commit": crowdOfCommits, "bundle": crowdOfUnpacks, "mount": crowdOfMounts,
}

func manySome() []string {
	return []string{"copy:2:1", "copy:8:1", "copy:32:1", "commit:8:1", "bundle:2:1", "bundle:8:1", "mount:2:1", "mount:8:1"}
}

func manyMore() []string {
	return append(numbered([]string{"copy:2", "copy:8", "commit:2", "bundle:8", "mount:8"}, 2, 40),
		numbered([]string{"copy:32", "commit:32", "bundle:32", "mount:32"}, 2, 6)...)
}

// playMany has N do the same at the same time: WHAT:N:ROUND.
func playMany(ctx context.Context, s *sweep, words []string) (struck bool, err error) {
	n := 0
	if len(words) == 3 {
		n, err = strconv.Atoi(words[1])
	}
	crowd := crowds[words[0]]
	if crowd == nil || n == 0 || err != nil {
		return false, fmt.Errorf("%q is not WHAT:N:ROUND: %w", strings.Join(words, ":"), err)
	}
	e, done, err := s.env(operation{prepare: shared})
	if err != nil {
		return false, err
	}
	defer done()
	if err := crowd(ctx, e, n); err != nil {
		return true, err
	}
	return true, leaks(e)
}

// atOnce runs the commands together, and returns what came of each.
func atOnce(ctx context.Context, e *env, commands [][]string) ([]outcome, error) {
	outs, errs := make([]outcome, len(commands)), make([]error, len(commands))
	var group sync.WaitGroup
	for i, argv := range commands {
		group.Go(func() { outs[i], errs[i] = e.run(ctx, argv...) })
	}
	group.Wait()
	return outs, errors.Join(errs...)
}

// allEnd checks that none failed.
func allEnd(outs []outcome) error {
	for i, out := range outs {
		if out.status != 0 {
			return fmt.Errorf("number %d ended with status %d: %s", i+1, out.status, out.stderr)
		}
	}
	return nil
}

// crowdOfWriters copies to N tags of one layout from another one and from the
// registry.
func crowdOfWriters(ctx context.Context, e *env, n int) error {
	var commands [][]string
	tags := []string{"old", "older"}
	for i := range n {
		tag := fmt.Sprintf("tag%d", i)
		tags = append(tags, tag)
		if i%2 == 0 {
			commands = append(commands, pull(e, plain, tag))
		} else {
			commands = append(commands, []string{e.tool("oci-copy"), "-q", "oci:" + e.image + ":layers", "oci:shared:" + tag})
		}
	}
	outs, err := atOnce(ctx, e, commands)
	return errors.Join(err, allEnd(outs), verifyLayout(e.path("shared"), tags, true))
}

// crowdOfCommits commits N edits of one image to N tags.
func crowdOfCommits(ctx context.Context, e *env, n int) error {
	var commands [][]string
	tags := []string{"old", "older"}
	for i := range n {
		tag := fmt.Sprintf("tag%d", i)
		tags = append(tags, tag)
		commands = append(commands, []string{e.tool("oci-commit"), "-q", "--env", "N=" + tag, "oci:shared:old", "oci:shared:" + tag})
	}
	outs, err := atOnce(ctx, e, commands)
	return errors.Join(err, allEnd(outs), verifyLayout(e.path("shared"), tags, true))
}

// crowdOfUnpacks has N unpack to one bundle: one of them wins, and the others
// leave its bundle alone.
func crowdOfUnpacks(ctx context.Context, e *env, n int) error {
	argv := []string{e.tool("oci-unpack"), "-q", e.image + ":layers", "b"}
	outs, err := atOnce(ctx, e, slices.Repeat([][]string{argv}, n))
	if err != nil {
		return err
	}
	won := 0
	for _, out := range outs {
		if out.status == 0 {
			won++
		} else if !strings.Contains(out.stderr, ": error: ") {
			return fmt.Errorf("a loser does not say why: %q", out.stderr)
		}
	}
	if won != 1 {
		return fmt.Errorf("%d of %d have made the bundle", won, n)
	}
	return unpacked(e, true)
}

// crowdOfMounts has N mount one image from an empty cache, while others clear
// the cache of what is not in use; and takes all away again.
func crowdOfMounts(ctx context.Context, e *env, n int) error {
	var commands [][]string
	for i := range n {
		commands = append(commands, mount(e, fmt.Sprintf("b%d", i)))
		if i%4 == 3 {
			commands = append(commands, gc(e))
		}
	}
	outs, err := atOnce(ctx, e, commands)
	if err := errors.Join(err, allEnd(outs)); err != nil {
		return errors.Join(err, unmountAll(e))
	}
	var wrong []error
	for i := range n {
		if _, err := os.Stat(e.path(fmt.Sprintf("b%d", i), "rootfs", "noise")); err != nil {
			wrong = append(wrong, err)
		}
	}
	return errors.Join(append(wrong, unmountAll(e), e.do(gc(e)...))...)
}
