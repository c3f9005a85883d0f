package mtree

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// maxEntry bounds one entry, its continuation lines included.
const maxEntry = 4 << 20

// Reader reads manifests: those of Writer, and those of gomtree and mtree as
// far as their keywords are the ones of Entry. Other keywords are ignored.
type Reader struct {
	in   *bufio.Reader
	set  map[string]string
	dir  string // of relative names
	line int
}

// NewReader reads from in.
func NewReader(in io.Reader) *Reader {
	return &Reader{in: bufio.NewReaderSize(in, 64<<10), set: map[string]string{}, dir: ""}
}

// Next returns the next entry, or io.EOF after the last.
func (r *Reader) Next() (*Entry, error) {
	for {
		text, err := r.logical()
		if err != nil {
			return nil, err
		}
		words := strings.Fields(text)
		switch {
		case len(words) == 0 || words[0][0] == '#':
		case words[0] == "/set":
			maps.Copy(r.set, keywords(words[1:]))
		case words[0] == "/unset":
			for _, key := range words[1:] {
				delete(r.set, key)
			}
		case words[0] == "..":
			r.dir = parent(r.dir)
		default:
			e, err := r.entry(words)
			if err != nil {
				return nil, fault.Refused("manifest line %d: %w", r.line, err)
			}
			return e, nil
		}
	}
}

func parent(dir string) string {
	if i := strings.LastIndexByte(dir, '/'); i >= 0 {
		return dir[:i]
	}
	return ""
}

// logical joins a line with those that continue it.
func (r *Reader) logical() (string, error) {
	var b strings.Builder
	for {
		line, err := r.in.ReadString('\n')
		if errors.Is(err, io.EOF) && (line != "" || b.Len() > 0) {
			b.WriteString(strings.TrimSuffix(line, "\\"))
			return b.String(), nil
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				err = fmt.Errorf("read manifest: %w", err)
			}
			return "", err
		}
		r.line++
		line = strings.TrimSuffix(line, "\n")
		more := strings.HasSuffix(line, "\\") && !strings.HasPrefix(line, "#")
		b.WriteString(strings.TrimSuffix(line, "\\"))
		if b.Len() > maxEntry {
			return "", fault.Refused("manifest line %d: an entry exceeds %d bytes", r.line, maxEntry)
		}
		if !more {
			return b.String(), nil
		}
	}
}

func keywords(words []string) map[string]string {
	m := make(map[string]string, len(words))
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		m[key] = value
	}
	return m
}

func (r *Reader) entry(words []string) (*Entry, error) {
	name, err := decode(words[0])
	if err != nil {
		return nil, fmt.Errorf("name %q: %w", words[0], err)
	}
	own := keywords(words[1:])
	all := maps.Clone(r.set)
	maps.Copy(all, own)
	e := &Entry{Type: Type(all["type"]), NoSHA256: true}
	e.Path = path.Clean(name)
	// A name with a slash is a path from the root; others are in the
	// directory that was described last.
	relative := !strings.Contains(words[0], "/")
	if relative && (name == ".." || name == "" || strings.ContainsAny(name, "/\x00")) {
		return nil, fmt.Errorf("%q is not the name of a file", name)
	}
	if relative && r.dir != "" {
		e.Path = r.dir + "/" + name
	}
	if e.Path == ".." || strings.HasPrefix(e.Path, "../") || strings.HasPrefix(e.Path, "/") {
		return nil, fmt.Errorf("the path %q leaves the tree", e.Path)
	}
	if relative && e.Type == Dir && e.Path != "." {
		r.dir = e.Path
	}
	for key, value := range all {
		if err := e.take(key, value); err != nil {
			return nil, fmt.Errorf("%s: %s=%.80s: %w", e.Path, key, value, err)
		}
	}
	slices.SortFunc(e.Xattrs, func(a, b Xattr) int { return strings.Compare(a.Name, b.Name) })
	return e, nil
}

func (e *Entry) take(key, value string) (err error) {
	switch key {
	case "mode":
		e.Mode, err = number(value, 8)
	case "uid":
		e.UID, err = number(value, 10)
	case "gid":
		e.GID, err = number(value, 10)
	case "nlink":
		e.NLink, err = number(value, 10)
	case "size":
		e.Size, err = strconv.ParseInt(value, 10, 64)
	case "tar_time", "time":
		whole, _, _ := strings.Cut(value, ".")
		e.MTime, err = strconv.ParseInt(whole, 10, 64)
	case "link":
		e.Link, err = decode(value)
	case "sha256", "sha256digest":
		var sum []byte
		if sum, err = hex.DecodeString(value); err == nil && len(sum) != len(e.SHA256) {
			err = errors.New("not a SHA-256")
		}
		copy(e.SHA256[:], sum)
		e.NoSHA256 = false
	case "device":
		e.Major, e.Minor, err = device(value)
	default:
		name, ok := strings.CutPrefix(key, "xattr.")
		if !ok {
			return nil
		}
		var x Xattr
		if x.Name, err = decode(name); err != nil {
			return err
		}
		var data []byte
		data, err = base64.StdEncoding.DecodeString(value)
		x.Value = string(data)
		e.Xattrs = append(e.Xattrs, x)
	}
	return err
}

func number(value string, base int) (uint32, error) {
	n, err := strconv.ParseUint(value, base, 32)
	return uint32(n), err
}

// device reads FORMAT,MAJOR,MINOR.
func device(value string) (major, minor uint32, err error) {
	parts := strings.Split(value, ",")
	if len(parts) != 3 {
		return 0, 0, errors.New("not FORMAT,MAJOR,MINOR")
	}
	if major, err = number(parts[1], 10); err != nil {
		return 0, 0, err
	}
	minor, err = number(parts[2], 10)
	return major, minor, err
}
