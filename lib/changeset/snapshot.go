package changeset

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// SnapshotFile is the name, in a bundle, of the record of what was unpacked or
// committed last: identity and ctime of every file. A file whose inode and
// ctime are still the recorded ones is unchanged, and need not be read.
//
// It is text: a line "D DEPTH NAME" opens a directory, and each line
// "MODE SIZE DEV INO BTIME CTIME NAME" is one of its entries, with the name quoted
// as in Go and the mode in octal. The first line names the format and the
// digest of the mtree manifest that the record belongs to.
const SnapshotFile = "oci-bundle.stat"

const snapshotMagic = "oci-bundle.stat 2 "

// snapshotDir is one directory of a record. As a thing to write it has the
// lines of its entries, as a thing read it has them parsed on demand.
type snapshotDir struct {
	name    string
	lines   []byte
	dirs    []*snapshotDir
	entries []entry // of lines, when parsed
	parsed  bool
}

// snapshotWriter collects a record.
type snapshotWriter struct{ root *snapshotDir }

// record sets the entries of the directory. One that changed within the last
// tick of the clock is recorded as unknown, with a ctime of zero: a later
// change could leave it the same ctime. A whiteout of an upper has mode 0.
func (d *snapshotDir) record(entries []entry) {
	for i := range entries {
		e := &entries[i]
		s := e.stat
		if s.age() < tick {
			s.Ctime = unix.StatxTimestamp{}
		}
		if s.isWhiteout() {
			s.Mode = 0
		}
		d.lines = strconv.AppendUint(d.lines, uint64(s.Mode), 8)
		d.lines = strconv.AppendInt(append(d.lines, ' '), s.Size, 10)
		d.lines = strconv.AppendUint(append(d.lines, ' '), s.Dev, 10)
		d.lines = strconv.AppendUint(append(d.lines, ' '), s.Ino, 10)
		d.lines = strconv.AppendInt(append(d.lines, ' '), s.Btime, 10)
		d.lines = strconv.AppendInt(append(d.lines, ' '), s.Ctime.Sec, 10)
		d.lines = strconv.AppendUint(append(d.lines, '.'), uint64(s.Ctime.Nsec), 10)
		d.lines = strconv.AppendQuote(append(d.lines, ' '), e.name)
		d.lines = append(d.lines, '\n')
	}
}

// child finds a subdirectory; nil on nil, and when there is none.
func (d *snapshotDir) child(name string) *snapshotDir {
	if d == nil {
		return nil
	}
	i, ok := slices.BinarySearchFunc(d.dirs, name, func(s *snapshotDir, name string) int { return cmp.Compare(s.name, name) })
	if !ok {
		return nil
	}
	return d.dirs[i]
}

// find returns what was recorded of a name; nil when nothing was.
func (d *snapshotDir) find(name string) *Stat {
	if d == nil {
		return nil
	}
	i, ok := slices.BinarySearchFunc(d.all(), name, func(e entry, name string) int { return cmp.Compare(e.name, name) })
	if !ok {
		return nil
	}
	return &d.entries[i].stat
}

// all parses the entries. A line that does not parse is no record: then the
// file is read, which is slow, but right.
func (d *snapshotDir) all() []entry {
	if d == nil || d.parsed {
		if d == nil {
			return nil
		}
		return d.entries
	}
	d.parsed = true
	for line := range bytes.Lines(d.lines) {
		if e, ok := parseSnapshotLine(string(bytes.TrimSuffix(line, []byte("\n")))); ok {
			d.entries = append(d.entries, e)
		}
	}
	slices.SortFunc(d.entries, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	d.lines = nil
	return d.entries
}

func parseSnapshotLine(line string) (entry, bool) {
	words := strings.SplitN(line, " ", 7)
	if len(words) != 7 {
		return entry{}, false
	}
	seconds, nanos, _ := strings.Cut(words[5], ".")
	var e entry
	var errs [8]error
	var mode, nsec uint64
	mode, errs[0] = strconv.ParseUint(words[0], 8, 32)
	e.stat.Size, errs[1] = strconv.ParseInt(words[1], 10, 64)
	e.stat.Dev, errs[2] = strconv.ParseUint(words[2], 10, 64)
	e.stat.Ino, errs[3] = strconv.ParseUint(words[3], 10, 64)
	e.stat.Ctime.Sec, errs[4] = strconv.ParseInt(seconds, 10, 64)
	nsec, errs[5] = strconv.ParseUint(nanos, 10, 32)
	e.stat.Btime, errs[6] = strconv.ParseInt(words[4], 10, 64)
	e.name, errs[7] = strconv.Unquote(words[6])
	e.stat.Mode, e.stat.Ctime.Nsec = uint32(mode), uint32(nsec)
	return e, errors.Join(errs[:]...) == nil
}

// recordedWhiteout is for a Stat out of a record. The inode of a whiteout tells
// nothing, for the kernel links them all to one.
func (s *Stat) recordedWhiteout() bool { return s.Mode == 0 }

// untouched reports whether the file is the recorded one. A recorded ctime of
// zero stands for one that was too young to be trusted.
func untouched(old, now *Stat) bool {
	return old != nil && old.Ctime != (unix.StatxTimestamp{}) && old.sameInode(now)
}

// encode writes the record, which belongs to what key names.
func (w *snapshotWriter) encode(out io.Writer, key string) error {
	var buf bytes.Buffer
	buf.WriteString(snapshotMagic + key + "\n")
	var write func(d *snapshotDir, depth int) error
	write = func(d *snapshotDir, depth int) error {
		fmt.Fprintf(&buf, "D %d %s\n", depth, strconv.Quote(d.name))
		buf.Write(d.lines)
		if buf.Len() > 64<<10 {
			if _, err := buf.WriteTo(out); err != nil {
				return fmt.Errorf("write %s: %w", SnapshotFile, err)
			}
		}
		for _, sub := range d.dirs {
			if err := write(sub, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	if err := write(w.root, 0); err != nil {
		return err
	}
	if _, err := buf.WriteTo(out); err != nil {
		return fmt.Errorf("write %s: %w", SnapshotFile, err)
	}
	return nil
}

// parseSnapshot returns the top of a record that belongs to key, or nil: a
// record of another format or of something else knows nothing.
func parseSnapshot(data []byte, key string) *snapshotDir {
	rest, ok := bytes.CutPrefix(data, []byte(snapshotMagic+key+"\n"))
	if !ok {
		return nil
	}
	var open []*snapshotDir
	for len(rest) > 0 {
		line, after, _ := bytes.Cut(rest, []byte("\n"))
		words := strings.SplitN(string(line), " ", 3)
		if len(words) != 3 || words[0] != "D" {
			return nil
		}
		depth, err := strconv.Atoi(words[1])
		name, bad := strconv.Unquote(words[2])
		if err != nil || bad != nil || depth < 0 || depth > len(open) || depth == 0 && len(open) > 0 {
			return nil
		}
		end := nextDirectory(after)
		d := &snapshotDir{name: name, lines: after[:end]}
		rest = after[end:]
		open = append(open[:depth], d)
		if depth > 0 {
			parent := open[depth-1]
			parent.dirs = append(parent.dirs, d)
		}
	}
	if len(open) == 0 {
		return nil
	}
	sortDirs(open[0])
	return open[0]
}

// nextDirectory is where the next "D" line begins.
func nextDirectory(data []byte) int {
	if bytes.HasPrefix(data, []byte("D ")) {
		return 0
	}
	if i := bytes.Index(data, []byte("\nD ")); i >= 0 {
		return i + 1
	}
	return len(data)
}

func sortDirs(d *snapshotDir) {
	slices.SortFunc(d.dirs, func(a, b *snapshotDir) int { return cmp.Compare(a.name, b.name) })
	for _, sub := range d.dirs {
		sortDirs(sub)
	}
}

// RecordSnapshot walks the rootfs and writes its record to out. The rootfs
// must be just what the mtree manifest, whose bytes have the given sha256 in
// hex, describes; and nobody may have written to it since. A tool that unpacks
// an image calls it last of all, and keeps the result as SnapshotFile.
//
// Files that changed within the last tick of the clock are recorded as
// unknown, so that the call never waits.
func RecordSnapshot(ctx context.Context, rootfs, manifestSHA256 string, out io.Writer) (err error) {
	root, err := openRoot(rootfs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.leave()) }()
	top := &snapshotDir{}
	if err := recordBelow(ctx, root, top); err != nil {
		return err
	}
	return (&snapshotWriter{root: top}).encode(out, manifestSHA256)
}

func recordBelow(ctx context.Context, d *directory, snap *snapshotDir) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	names, err := d.names()
	if err != nil {
		return err
	}
	if d.parent == nil {
		names = append(names, ".")
	}
	entries := make([]entry, 0, len(names))
	for _, name := range names {
		st, err := statAt(d.fd, name)
		if err != nil {
			return d.changed(name, err)
		}
		entries = append(entries, entry{name: name, stat: st})
	}
	snap.record(entries)
	for i := range entries {
		if !entries[i].stat.IsDir() || entries[i].name == "." {
			continue
		}
		if err := recordSub(ctx, d, &entries[i], snap); err != nil {
			return err
		}
	}
	return nil
}

func recordSub(ctx context.Context, d *directory, e *entry, snap *snapshotDir) error {
	sub, err := d.enter(e.name, &e.stat)
	if err != nil {
		return err
	}
	below := &snapshotDir{name: e.name}
	snap.dirs = append(snap.dirs, below)
	return errors.Join(recordBelow(ctx, sub, below), sub.leave())
}
