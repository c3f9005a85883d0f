package overlay

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Change is one path whose content or metadata the upper changed.
type Change struct {
	// Kind is 'A' for added, 'C' for changed, 'D' for deleted.
	Kind byte
	// Path is absolute within the rootfs.
	Path string
}

// errStop ends a walk early.
var errStop = errors.New("enough")

// Changes calls visit for each path that upper changes in the lowers (the
// topmost first), in the order of names, directories before what is in them.
// A directory counts as changed when it was copied up, which happens before
// anything in it can change.
func Changes(ctx context.Context, upper string, lowers []Lower, userXattr bool, visit func(Change) error) error {
	d := differ{ctx: ctx, marks: marksFor(userXattr), upper: Lower{Path: upper}, lowers: lowers, visit: visit}
	root, err := d.marks.merge(lowers, all(len(lowers)), ".")
	if err != nil {
		return err
	}
	return d.directory(".", root.layers, merging)
}

// CountChanges counts the changes, most at the most.
func CountChanges(ctx context.Context, upper string, lowers []Lower, userXattr bool, most int) (int, error) {
	n := 0
	err := Changes(ctx, upper, lowers, userXattr, func(Change) error {
		n++
		if n >= most {
			return errStop
		}
		return nil
	})
	if errors.Is(err, errStop) {
		err = nil
	}
	return n, err
}

type differ struct {
	ctx    context.Context
	marks  marks
	upper  Lower
	lowers []Lower
	visit  func(Change) error
}

// directory compares the entries of one directory of the upper with what the
// lowers show there. An opaque one hides them all, which deletes those that it
// does not hold itself.
func (d *differ) directory(path string, below []int, k kind) error {
	if err := d.ctx.Err(); err != nil {
		return err
	}
	names, err := d.names(d.upper, path)
	if err != nil {
		return err
	}
	present := make(map[string]bool, len(names))
	for _, name := range names {
		present[name] = true
	}
	if k == opaque {
		for _, i := range below {
			hidden, err := d.names(d.lowers[i], path)
			if err != nil {
				return err
			}
			for _, name := range hidden {
				if !present[name] {
					present[name] = true
					names = append(names, name)
				}
			}
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if err := d.entry(join(path, name), below); err != nil {
			return err
		}
	}
	return nil
}

func (d *differ) entry(path string, below []int) error {
	now, _, err := d.marks.look(d.upper, path)
	if err != nil {
		return err
	}
	before, err := d.marks.merge(d.lowers, below, path)
	if err != nil {
		return err
	}
	change := Change{Kind: 'C', Path: "/" + path}
	switch {
	case now == absent || now == whiteout:
		if before.kind == absent {
			return nil
		}
		change.Kind = 'D'
		return d.visit(change)
	case before.kind == absent:
		change.Kind = 'A'
	}
	if err := d.visit(change); err != nil || now == other {
		return err
	}
	return d.directory(path, before.layers, now)
}

// names reads the entries of a directory of a layer.
func (d *differ) names(l Lower, path string) ([]string, error) {
	fd, err := reopen(l, path)
	if err != nil {
		if errors.Is(err, unix.ENOENT) {
			return nil, nil
		}
		return nil, err
	}
	dir := os.NewFile(uintptr(fd), path)
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list %s in layer %s: %w", path, l.Path, err)
	}
	return names, nil
}
