package main

import (
	"context"
	"fmt"
)

func nofileSome() []string {
	var all []string
	for _, op := range operations {
		if !op.runs {
			all = append(all, numbered([]string{op.name}, 12, 12)...)
			all = append(all, numbered([]string{op.name}, 64, 64)...)
		}
	}
	return all
}

// playNofile runs an operation with a limit of N descriptors: OP:N. With 64 it
// has to do its work.
func playNofile(ctx context.Context, s *sweep, words []string) (struck bool, err error) {
	op, n, err := operationAt(words, 0)
	if err != nil {
		return false, err
	}
	e, done, err := s.env(op)
	if err != nil {
		return false, err
	}
	defer done()
	out, err := e.run(ctx, append([]string{"prlimit", fmt.Sprintf("--nofile=%d:%d", n, n)}, op.argv(e)...)...)
	if err != nil {
		return true, err
	}
	if err := honest(point{op: op.name}, out); err != nil {
		return true, err
	}
	if n >= 64 && out.status != 0 {
		return true, fmt.Errorf("status %d with %d descriptors: %s", out.status, n, out.stderr)
	}
	return true, hold(op, e, out)
}
