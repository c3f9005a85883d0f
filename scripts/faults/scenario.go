package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
)

// scenario is a kind of fault that is not one system call's.
type scenario struct {
	name, why string
	// all makes the trials that belong into a sweep of n points.
	all func(rng *rand.Rand, n int) []trial
	// parse finds the trial by its name.
	parse func(name string) (trial, error)
}

// scene is one trial of a scenario: its words are the scenario's name and what
// the scenario needs to repeat it.
type scene struct {
	words []string
	play  func(ctx context.Context, s *sweep, words []string) (struck bool, err error)
}

func (c scene) String() string { return strings.Join(c.words, ":") }

func (c scene) try(ctx context.Context, s *sweep) (bool, error) { return c.play(ctx, s, c.words[1:]) }

// act makes a scenario of a function that plays it: words are those of its
// trials, apart from the name, in a small sweep, and more those that a sweep
// of thousands has besides.
func act(name, why string, words, more func() []string, play func(ctx context.Context, s *sweep, words []string) (bool, error)) scenario {
	trials := func(names []string) []trial {
		var all []trial
		for _, w := range names {
			all = append(all, scene{words: strings.Split(name+":"+w, ":"), play: play})
		}
		return all
	}
	return scenario{
		name: name, why: why,
		all: func(_ *rand.Rand, n int) []trial {
			if n < 2_000 {
				return trials(words())
			}
			return trials(append(words(), more()...))
		},
		parse: func(full string) (trial, error) {
			words := strings.Split(full, ":")
			if len(words) < 2 {
				return nil, fmt.Errorf("%q names no trial of %s", full, name)
			}
			return scene{words: words, play: play}, nil
		},
	}
}

func none() []string { return nil }

// numbered are the words with each number from first to last after them.
func numbered(words []string, first, last int) []string {
	var all []string
	for n := first; n <= last; n++ {
		for _, w := range words {
			all = append(all, fmt.Sprintf("%s:%d", w, n))
		}
	}
	return all
}

var scenarios = []scenario{
	act("registry", "a registry that misbehaves, in each of its modes", modeNames, none, playRegistry),
	act("full", "a file system that fills up: tmpfs, inodes, ext4", fullSome, fullMore, playFull),
	act("power", "ext4 cut off in the middle, and mounted again", powerSome, powerMore, playPower),
	act("many", "2, 8 and 32 at once", manySome, manyMore, playMany),
	act("nofile", "few descriptors", nofileSome, none, playNofile),
}
