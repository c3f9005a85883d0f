package changeset

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

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

// record sets the entries of the directory.
func (d *snapshotDir) record(entries []entry) {
	now := time.Now()
	for i := range entries {
		d.lines = appendEntry(d.lines, entries[i].name, entries[i].stat, now)
	}
}

// appendEntry appends the line of an entry. One that changed within the last
// tick of the clock is recorded as unknown, with a ctime of zero: a later
// change could leave it the same ctime. A whiteout of an upper has mode 0.
func appendEntry(line []byte, name string, s Stat, now time.Time) []byte {
	if s.age(now) < tick {
		s.Ctime = unix.StatxTimestamp{}
	}
	if s.isWhiteout() {
		s.Mode = 0
	}
	line = strconv.AppendUint(line, uint64(s.Mode), 8)
	line = strconv.AppendInt(append(line, ' '), s.Size, 10)
	line = strconv.AppendUint(append(line, ' '), s.Dev, 10)
	line = strconv.AppendUint(append(line, ' '), s.Ino, 10)
	line = strconv.AppendInt(append(line, ' '), s.Btime, 10)
	line = strconv.AppendInt(append(line, ' '), s.Ctime.Sec, 10)
	line = strconv.AppendUint(append(line, '.'), uint64(s.Ctime.Nsec), 10)
	line = strconv.AppendQuote(append(line, ' '), name)
	return append(line, '\n')
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

// SnapshotHeader begins a record that belongs to the mtree manifest whose bytes
// have the given sha256, in hex. All headers have one length.
func SnapshotHeader(manifestSHA256 string) string { return snapshotMagic + manifestSHA256 + "\n" }

// SnapshotEncoder writes a record. Each directory is followed by its entries,
// parents come before children, and the root has an entry "." for itself. The
// files must be older than the encoder, and nobody may write to them before
// the record is complete.
type SnapshotEncoder struct {
	out  *bufio.Writer
	now  time.Time
	line []byte
}

// NewSnapshotEncoder begins a record. A caller that does not know the manifest
// yet gives any digest, and writes the header again at the end.
func NewSnapshotEncoder(out io.Writer, manifestSHA256 string) *SnapshotEncoder {
	e := &SnapshotEncoder{out: bufio.NewWriterSize(out, 64<<10), now: time.Now()}
	_, _ = e.out.WriteString(SnapshotHeader(manifestSHA256)) // Close tells errors
	return e
}

// Directory begins a directory; the root has the depth 0.
func (e *SnapshotEncoder) Directory(depth int, name string) {
	e.line = strconv.AppendInt(append(e.line[:0], "D "...), int64(depth), 10)
	e.line = strconv.AppendQuote(append(e.line, ' '), name)
	e.lines(append(e.line, '\n'))
}

// Entry adds an entry to the directory that was begun last.
func (e *SnapshotEncoder) Entry(name string, s Stat) {
	e.line = appendEntry(e.line[:0], name, s, e.now)
	e.lines(e.line)
}

func (e *SnapshotEncoder) lines(p []byte) { _, _ = e.out.Write(p) } // Close tells errors

// Close returns the first error of writing.
func (e *SnapshotEncoder) Close() error {
	if err := e.out.Flush(); err != nil {
		return fmt.Errorf("write %s: %w", SnapshotFile, err)
	}
	return nil
}

// encode writes the record, which belongs to what key names.
func (w *snapshotWriter) encode(out io.Writer, key string) error {
	e := NewSnapshotEncoder(out, key)
	var write func(d *snapshotDir, depth int)
	write = func(d *snapshotDir, depth int) {
		e.Directory(depth, d.name)
		e.lines(d.lines)
		for _, sub := range d.dirs {
			write(sub, depth+1)
		}
	}
	write(w.root, 0)
	return e.Close()
}

// parseSnapshot returns the top of a record that belongs to key, or nil: a
// record of another format or of something else knows nothing.
func parseSnapshot(data []byte, key string) *snapshotDir {
	rest, ok := bytes.CutPrefix(data, []byte(SnapshotHeader(key)))
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
