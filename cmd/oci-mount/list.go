package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/overlay"
	"github.com/oci-plumbing/oci-plumbing/lib/pipe"
)

// listed is one line of --list.
type listed struct {
	bundle  bundle.Bundle
	state   *bundle.State
	mounted *overlay.Mounted
	users   []int
	changes int
	size    int64
	made    time.Time
}

// list prints the mounts: a table for people, with a picture of the images on
// a terminal; records with --json or -0.
func list(ctx context.Context, inv *cli.Invocation) error {
	if len(inv.Operands) > 0 {
		return inv.Usage("--list takes no operand")
	}
	root, err := stateDir(inv)
	if err != nil {
		return err
	}
	rows, err := listRows(ctx, root, inv.Bool("all"))
	if err != nil {
		return err
	}
	if inv.Bool("json") || inv.Bool("null") {
		for _, row := range rows {
			if err := inv.Records().Write(row.record()); err != nil {
				return err
			}
		}
		return nil
	}
	var text strings.Builder
	text.WriteString("ROOTFS\tIMAGE\tDIGEST\tCHANGES\tSIZE\tAGE\tUSED BY\n")
	for _, row := range rows {
		text.WriteString(strings.Join(row.cells(time.Now()), "\t") + "\n")
	}
	table := tabwriter.NewWriter(inv.Out, 0, 0, 2, ' ', 0)
	_, err = io.WriteString(table, text.String())
	err = errors.Join(err, table.Flush())
	if err == nil && inv.StdoutIsTerminal() {
		err = drawImages(inv.Out, rows)
	}
	if err != nil {
		return fmt.Errorf("print the list: %w", err)
	}
	return nil
}

// listRows finds the mounts of all namespaces, and with unmounted also the
// bundles below the state directory that are not mounted.
func listRows(ctx context.Context, root string, unmounted bool) ([]listed, error) {
	mounts, err := overlay.AllMounts()
	if err != nil {
		return nil, err
	}
	var rows []listed
	seen := make(map[string]bool)
	for _, m := range mounts {
		dir, base := filepath.Split(m.Target)
		if base != bundle.RootfsDir || seen[m.Target] {
			continue
		}
		row := listed{bundle: bundle.Bundle{Dir: filepath.Clean(dir)}, mounted: &m}
		if _, err := row.bundle.State(); err != nil && m.Source != overlay.Source {
			continue // another program's
		}
		if row.users, err = overlay.Users(m); err != nil {
			return nil, err
		}
		if m.Namespace != "" && len(row.users) == 0 && !guarded(&row.bundle) {
			continue // a copy that a new namespace was born with
		}
		seen[m.Target] = true
		rows = append(rows, row)
	}
	if unmounted {
		private, err := privateBundles(root)
		if err != nil {
			return nil, err
		}
		for _, b := range private {
			if hasState(b) && !seen[b.Rootfs()] {
				rows = append(rows, listed{bundle: *b})
			}
		}
	}
	for i := range rows {
		if err := rows[i].look(ctx); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// guarded reports whether a program runs on the bundle.
func guarded(b *bundle.Bundle) bool {
	lock, err := lockBundle(b)
	if err != nil {
		return errors.Is(err, fault.ErrTemporary)
	}
	lock.Close()
	return false
}

// look reads what the bundle says of itself. One that is vanishing, or that
// another namespace hides, is listed with what is known.
func (l *listed) look(ctx context.Context) error {
	state, err := l.bundle.State()
	if err != nil {
		l.state = &bundle.State{}
		return nil //nolint:nilerr // see above
	}
	l.state = state
	if info, err := os.Stat(filepath.Join(l.bundle.Dir, bundle.StateFile)); err == nil {
		l.made = info.ModTime()
	}
	l.changes, l.size, err = measure(ctx, filepath.Join(l.bundle.Dir, bundle.UpperDir))
	return err
}

// measure counts what is in an upper, whiteouts included, and what it takes
// on the disk in bytes.
func measure(ctx context.Context, upper string) (count int, size int64, err error) {
	err = filepath.WalkDir(upper, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == upper {
			return ignoreGone(err)
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return ignoreGone(err)
		}
		count++
		size += st.Blocks * 512
		return ctx.Err()
	})
	if err != nil {
		return 0, 0, fmt.Errorf("measure %s: %w", upper, err)
	}
	return count, size, nil
}

// ignoreGone passes over what vanishes during a walk, and what belongs to
// ids of another namespace.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}

func (l *listed) record() pipe.Record {
	extra := map[string]any{
		"bundle": l.bundle.Dir, "mounted": l.mounted != nil, "changes": l.changes, "size": l.size, "users": l.users,
		"readOnly": l.mounted != nil && l.mounted.ReadOnly,
	}
	if l.users == nil {
		extra["users"] = []int{}
	}
	if !l.made.IsZero() {
		extra["made"] = l.made.UTC().Format(time.RFC3339)
	}
	if l.mounted != nil && l.mounted.Namespace != "" {
		extra["namespace"] = l.mounted.Namespace
	}
	return pipe.Record{
		Kind: pipe.KindMount, Path: l.bundle.Rootfs(), Image: l.state.Reference,
		Digest: l.state.Manifest.Digest.String(), Extra: extra,
	}
}

func (l *listed) cells(now time.Time) []string {
	used, age := joinInts(l.users), "-"
	switch {
	case l.mounted == nil:
		used = "(not mounted)"
	case used == "":
		used = "-"
	}
	if !l.made.IsZero() {
		age = shortAge(now.Sub(l.made))
	}
	return []string{l.bundle.Rootfs(), l.state.Reference, shortDigest(l.state), fmt.Sprint(l.changes), shortSize(l.size), age, used}
}

func shortDigest(s *bundle.State) string {
	if hex := s.Manifest.Digest; len(hex) > 19 {
		return string(hex[:19])
	}
	return "-"
}

func shortSize(n int64) string {
	const units = "KMGT"
	if n < 1024 {
		return fmt.Sprint(n)
	}
	f, i := float64(n)/1024, 0
	for ; f >= 1024 && i < len(units)-1; i++ {
		f /= 1024
	}
	return fmt.Sprintf("%.1f%c", f, units[i])
}

func shortAge(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}
