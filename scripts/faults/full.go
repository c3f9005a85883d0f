package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// roomy are the operations that write so much that it can be too much.
var roomy = []string{"copy", "pull", "archive", "unpack", "mount", "commit"}

func fullSome() []string {
	return append(numbered([]string{"tmpfs:copy", "tmpfs:unpack", "inodes:unpack", "ext4:mount"}, 1, 2), numbered([]string{"ext4:commit", "ext4:archive", "inodes:copy", "tmpfs:pull"}, 3, 4)...)
}

func fullMore() []string {
	var kinds []string
	for _, fs := range []string{"tmpfs", "inodes", "ext4"} {
		for _, op := range roomy {
			kinds = append(kinds, fs+":"+op)
		}
	}
	return numbered(kinds, 0, 9)
}

// playFull gives an operation N tenths of the room that it needs: FS:OP:N.
func playFull(ctx context.Context, s *sweep, words []string) (struck bool, err error) {
	op, n, err := operationAt(words, 1)
	if err != nil {
		return false, err
	}
	s.needsMu.Lock()
	need, known := s.needs[op.name]
	s.needsMu.Unlock()
	if !known {
		if need, err = s.need(op); err != nil {
			return false, fmt.Errorf("measure: %w", err)
		}
		s.needsMu.Lock()
		s.needs[op.name] = need
		s.needsMu.Unlock()
	}
	disk, e, err := s.envOn(words[0] == "ext4", op)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, disk.close()) }()
	// Numbers of five find the last write as well as the first ones.
	room, inodes := need.blocks*int64(2*n+1)/20, need.inodes*int64(2*n+1)/20
	if words[0] == "inodes" {
		room = 0
	} else {
		inodes = 0
	}
	if err := disk.leave(room, inodes); err != nil {
		return false, err
	}
	out, err := e.run(ctx, op.argv(e)...)
	if err != nil {
		return true, err
	}
	if err := errors.Join(honest(point{op: op.name}, out), clearly(out)); err != nil {
		return out.status != 0, err
	}
	if err := op.check(e, out.status == 0); err != nil {
		return out.status != 0, fmt.Errorf("on the full disk (status %d, %s): %w", out.status, out.stderr, err)
	}
	if err := strays(e.dir); err != nil {
		return out.status != 0, fmt.Errorf("the failed run: %w", err)
	}
	if err := disk.leave(0, 0); err != nil {
		return true, err
	}
	return out.status != 0, again(op, e, out.status == 0)
}

// clearly checks that a failure names what is full.
func clearly(out outcome) error {
	if out.status != 0 && (out.status != 1 && out.status != 125 || !strings.Contains(strings.ToLower(out.stderr), "no space left")) {
		return fmt.Errorf("status %d, and not what is full: %s", out.status, out.stderr)
	}
	return nil
}

// operationAt finds the operation at words[i], and the number after it.
func operationAt(words []string, i int) (operation, int, error) {
	if len(words) != i+2 {
		return operation{}, 0, fmt.Errorf("%q: not what the scenario needs", strings.Join(words, ":"))
	}
	n, err := strconv.Atoi(words[i+1])
	if err != nil {
		return operation{}, 0, err
	}
	for _, op := range operations {
		if op.name == words[i] {
			return op, n, nil
		}
	}
	return operation{}, 0, fmt.Errorf("no operation %q", words[i])
}

// need is what an operation writes, measured on a disk with room.
func (s *sweep) need(op operation) (n usage, err error) {
	disk, e, err := s.envOn(false, op)
	if err != nil {
		return n, err
	}
	defer func() { err = errors.Join(err, disk.close()) }()
	before, err := disk.used()
	if err != nil {
		return n, err
	}
	if err := e.do(op.argv(e)...); err != nil {
		return n, err
	}
	after, err := disk.used()
	if err == nil && op.tidy != nil {
		err = op.tidy(e)
	}
	return usage{blocks: after.blocks - before.blocks, inodes: after.inodes - before.inodes}, err
}

// usage is what is used of a file system, in bytes and inodes.
type usage struct{ blocks, inodes int64 }

func (d *disk) used() (usage, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(d.dir, &st); err != nil {
		return usage{}, err
	}
	return usage{blocks: int64(st.Blocks-st.Bfree) * st.Bsize, inodes: int64(st.Files - st.Ffree)}, nil
}
