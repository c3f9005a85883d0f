package erofs

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
)

// prefixes are the name spaces with a number, in the order of trial.
var prefixes = []struct {
	text  string
	index byte
}{
	{"user.", 1}, {"system.posix_acl_access", 2}, {"system.posix_acl_default", 3}, {"trusted.", 4}, {"security.", 6},
}

const xattrHeader = 12

// encodeXattrs makes the inline attributes, sorted so that equal trees are
// equal bytes.
func encodeXattrs(list []Xattr) ([]byte, error) {
	if len(list) == 0 {
		return nil, nil
	}
	list = slices.Clone(list)
	var header [xattrHeader]byte // no filter, no shared attributes
	slices.SortFunc(list, func(a, b Xattr) int { return strings.Compare(a.Name, b.Name) })
	b := append([]byte{}, header[:]...)
	for _, x := range list {
		index, rest, ok := number(x.Name)
		if !ok || len(rest) > math.MaxUint8 || len(x.Value) > math.MaxUint16 {
			return nil, fmt.Errorf("attribute %q of %d bytes: %w", x.Name, len(x.Value), ErrNotPossible)
		}
		b = append(b, byte(len(rest)), index)
		b = binary.LittleEndian.AppendUint16(b, uint16(len(x.Value)))
		b = append(append(b, rest...), x.Value...)
		b = append(b, header[:-len(b)&3]...)
	}
	if (len(b)-xattrHeader)/4+1 > math.MaxUint16 {
		return nil, fmt.Errorf("attributes of %d bytes: %w", len(b), ErrNotPossible)
	}
	return b, nil
}

func number(name string) (index byte, rest string, ok bool) {
	for _, p := range prefixes {
		if rest, ok := strings.CutPrefix(name, p.text); ok {
			return p.index, rest, p.index != 2 && p.index != 3 || rest == ""
		}
	}
	return 0, "", false
}
