package mtree

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxLine keeps lines below what a bufio.Scanner, which go-mtree reads with,
// takes at once.
const maxLine = 32 << 10

// Writer writes a manifest.
type Writer struct {
	out   *bufio.Writer
	dirs  []string // the path of the directory that is open, by components
	depth int      // of the directories that are open below the root
	begun bool
	set   Entry // what /set said
	line  []byte
	err   error
}

// NewWriter writes to out; Flush must be called at the end.
func NewWriter(out io.Writer) *Writer { return &Writer{out: bufio.NewWriterSize(out, 64<<10)} }

// Write appends an entry. Entries come depth first: the root, and then each
// directory directly before what is in it.
func (w *Writer) Write(e *Entry) error {
	if e.Path == "." {
		return w.WriteAt(0, ".", e)
	}
	name, depth := w.place(e.Path)
	w.dirs = w.dirs[:depth]
	if e.Type == Dir {
		w.dirs = append(w.dirs, name)
	}
	return w.WriteAt(depth+1, name, e)
}

// WriteAt is Write for a caller that knows how deep the entry is: the root is
// at depth 0. It does not look at the path, which need not be put together
// then. The two must not be mixed.
func (w *Writer) WriteAt(depth int, name string, e *Entry) error {
	if w.err != nil {
		return w.err
	}
	for ; w.depth > max(0, depth-1); w.depth-- {
		w.put("..\n")
	}
	if !w.begun {
		w.begun = true
		w.set = Entry{Type: File, Mode: 0o644, UID: e.UID, GID: e.GID}
		w.put(fmt.Sprintf("#mtree v2.0\n/set type=file mode=0644 uid=%d gid=%d\n", e.UID, e.GID))
	}
	w.entry(name, e)
	if e.Type == Dir && depth > 0 {
		w.depth++
	}
	return w.err
}

// Flush ends the manifest.
func (w *Writer) Flush() error {
	if err := w.out.Flush(); w.err == nil && err != nil {
		w.err = fmt.Errorf("write manifest: %w", err)
	}
	return w.err
}

// place returns the last component of the path, and how many of the
// directories before it were written last.
func (w *Writer) place(path string) (name string, depth int) {
	rest := path
	for ; depth < len(w.dirs); depth++ {
		below, ok := strings.CutPrefix(rest, w.dirs[depth])
		if !ok || !strings.HasPrefix(below, "/") {
			break
		}
		rest = below[1:]
	}
	return rest, depth
}

func (w *Writer) entry(name string, e *Entry) {
	w.line = append(w.line[:0], encode(name)...)
	if e.Type != File {
		w.word("type", string(e.Type))
	}
	if e.Mode != w.set.Mode {
		w.word("mode", mode(e.Mode))
	}
	if e.UID != w.set.UID {
		w.word("uid", strconv.FormatUint(uint64(e.UID), 10))
	}
	if e.GID != w.set.GID {
		w.word("gid", strconv.FormatUint(uint64(e.GID), 10))
	}
	if e.Type != Dir {
		w.word("nlink", strconv.FormatUint(uint64(e.NLink), 10))
	}
	switch e.Type {
	case File:
		w.word("size", strconv.FormatInt(e.Size, 10))
	case Symlink:
		w.word("link", encode(e.Link))
	case Char, Block:
		w.word("device", fmt.Sprintf("linux,%d,%d", e.Major, e.Minor))
	}
	// The time stands last but one in every entry: a line must not end in
	// the backslash that an encoded name or target may end in.
	w.word("tar_time", strconv.FormatInt(e.MTime, 10)+".000000000")
	if e.Type == File && !e.NoSHA256 {
		w.word("sha256digest", hex.EncodeToString(e.SHA256[:]))
	}
	for _, x := range e.Xattrs {
		w.word("xattr."+encode(x.Name), base64.StdEncoding.EncodeToString([]byte(x.Value)))
	}
	w.line = append(w.line, '\n')
	w.put(string(w.line))
	w.line = w.line[:0]
}

// word appends a keyword, and breaks the line where it gets too long.
func (w *Writer) word(key, value string) {
	w.line = append(append(append(append(w.line, ' '), key...), '='), value...)
	for len(w.line) > maxLine {
		w.put(string(w.line[:maxLine-1]) + "\\\n")
		w.line = append(w.line[:0], w.line[maxLine-1:]...)
	}
}

func (w *Writer) put(s string) {
	if w.err == nil {
		if _, err := w.out.WriteString(s); err != nil {
			w.err = fmt.Errorf("write manifest: %w", err)
		}
	}
}

// mode is octal with a leading zero, as go-mtree compares it: as text.
func mode(m uint32) string {
	if m == 0 {
		return "0"
	}
	return "0" + strconv.FormatUint(uint64(m), 8)
}
