package layer

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Paths is a sorted list of paths. In JSON each is the number of bytes that it
// shares with the one before, a colon, and the rest: a tree of ten thousand
// levels would else take a hundred megabytes. Bytes that are not ASCII, and
// the percent sign, are written %XX, since a name need not be UTF-8.
type Paths []string

// MarshalJSON encodes the list by what its paths share.
func (p Paths) MarshalJSON() ([]byte, error) {
	words := make([]string, len(p))
	before := ""
	for i, path := range p {
		n := 0
		for n < min(len(before), len(path)) && before[n] == path[n] {
			n++
		}
		words[i] = strconv.Itoa(n) + ":" + percent(path[n:])
		before = path
	}
	return json.Marshal(words)
}

// UnmarshalJSON decodes it. A path that begins the next one shares its memory.
func (p *Paths) UnmarshalJSON(data []byte) error {
	var words []string
	if err := json.Unmarshal(data, &words); err != nil {
		return err
	}
	list := make(Paths, len(words))
	var b []byte
	begun := 0 // of the run of paths in b, each of which begins the next
	flush := func(end int, sizes []int) {
		whole := string(b)
		for i := begun; i < end; i++ {
			list[i] = whole[:sizes[i]]
		}
		begun = end
	}
	sizes := make([]int, len(words))
	for i, word := range words {
		shared, rest, ok := strings.Cut(word, ":")
		n, err := strconv.Atoi(shared)
		if err == nil {
			rest, err = url.PathUnescape(rest)
		}
		if !ok || err != nil || n < 0 || n > len(b) {
			return fmt.Errorf("path %d of the list is malformed", i)
		}
		if n < len(b) {
			flush(i, sizes)
		}
		b = append(b[:n], rest...)
		sizes[i] = len(b)
	}
	flush(len(words), sizes)
	*p = list
	return nil
}

// percent escapes what JSON could not keep.
func percent(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 || r == '%' }) < 0 {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c >= 0x80 || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// pathsOf returns the paths of the nodes, which are in the order of a walk, a
// parent before its children. The path of a parent is a piece of its child's.
func pathsOf(nodes []*node) Paths {
	paths := make(Paths, len(nodes))
	for i := len(nodes) - 1; i >= 0; i-- {
		if i+1 < len(nodes) && nodes[i+1].parent == nodes[i] && nodes[i].parent != nil {
			paths[i] = paths[i+1][:strings.LastIndexByte(paths[i+1], '/')]
			continue
		}
		paths[i] = nodes[i].path()
	}
	return paths
}
