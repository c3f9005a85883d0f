package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// mode is what has to come of a registry's misbehaviour.
type mode struct {
	// status that oci-copy must end with.
	status int
	// most is how often it may ask for one thing.
	most int
	// push tells that the mode is about what is sent to the registry.
	push bool
}

// tries is the first request and its repetitions.
const tries = 10

var modes = map[string]mode{
	"ok":     {0, 1, false},
	"trunc1": {0, 2, false}, "truncall": {4, tries, false}, "shortcl": {5, 1, false}, "longer": {5, 1, false}, "longercl": {5, 1, false}, "endless": {5, 1, false},
	"wrongdigest": {5, 1, false}, "b429": {0, 3, false}, "b503": {0, 3, false}, "b503all": {4, tries, false}, "b500": {0, 2, false},
	"reset1": {0, 2, false}, "resetall": {4, tries, false}, "stall": {0, 2, false}, "stallall": {4, tries, false},
	"redirloop": {5, 12, false}, "redirfile": {5, 1, false}, "badrange": {5, 2, false}, "norange": {0, 2, false},
	"man429": {0, 3, false}, "man500": {0, 3, false}, "mandigest": {5, 1, false}, "manbig": {5, 1, false},
	"upreset1": {0, tries, true}, "upresetall": {4, 5 * tries, true}, "up500": {0, tries, true}, "up500all": {4, 5 * tries, true},
	"up416": {1, 5 * tries, true}, "upelsewhere": {5, tries, true}, "upman503": {0, 2, true},
}

// plain is the repository of who pulls without misbehaviour, and is no mode: the
// points of "ok", which count, run beside others.
const plain = "plain"

func modeNames() []string { return slices.Sorted(maps.Keys(modes)) }

func playRegistry(ctx context.Context, s *sweep, words []string) (bool, error) {
	m, ok := modes[words[0]]
	if !ok {
		return false, fmt.Errorf("no mode %q", words[0])
	}
	op := operation{name: "pull", prepare: shared, argv: func(e *env) []string { return pull(e, words[0], "new") }, check: copied}
	if m.push {
		op = operation{name: "push", prepare: unique, argv: func(e *env) []string { return push(e, words[0]) }, check: noneButDone}
	}
	e, done, err := s.env(op)
	if err != nil {
		return false, err
	}
	defer done()
	s.registry.forget(words[0])
	out, err := e.run(ctx, op.argv(e)...)
	if err != nil {
		return true, err
	}
	asked, taken := s.registry.count(words[0], "blobs")
	if strings.HasPrefix(words[0], "man") {
		asked, _ = s.registry.count(words[0], "manifests")
	}
	var wrong []error
	if out.status != m.status {
		wrong = append(wrong, fmt.Errorf("status %d, want %d: %s", out.status, m.status, out.stderr))
	}
	if asked > m.most {
		wrong = append(wrong, fmt.Errorf("asked %d times for one thing", asked))
	}
	// What socket buffers hold comes on top of the sizes.
	if taken > 64<<20 {
		wrong = append(wrong, fmt.Errorf("%d bytes were sent", taken))
	}
	if out.status != 0 && strings.Count(out.stderr, ": error: ") != 1 {
		wrong = append(wrong, fmt.Errorf("not one clear error: %s", out.stderr))
	}
	wrong = append(wrong, op.check(e, out.status == 0))
	// The next run meets a registry that is well again.
	op.argv = func(e *env) []string { return pull(e, plain, "new") }
	if m.push {
		op.argv = func(e *env) []string { return push(e, "ok") }
	}
	return true, errors.Join(append(wrong, again(op, e, out.status == 0))...)
}
