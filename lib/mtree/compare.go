package mtree

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/strictjson"
)

// Difference is a file that is not as the manifest says.
type Difference struct {
	Path string `json:"path"`
	// Kind is "missing" (from the tree), "extra" (not in the manifest) or
	// "changed".
	Kind string `json:"kind"`
	// Keywords are those that differ, when changed.
	Keywords []Keyword `json:"keywords,omitempty"`
}

// MarshalJSON implements [json.Marshaler].
func (d Difference) MarshalJSON() ([]byte, error) {
	type plain Difference
	d.Path = strictjson.Quote(d.Path)
	return json.Marshal(plain(d))
}

// UnmarshalJSON implements [json.Unmarshaler].
func (d *Difference) UnmarshalJSON(data []byte) error {
	type plain Difference
	if err := json.Unmarshal(data, (*plain)(d)); err != nil {
		return err
	}
	d.Path = strictjson.Unquote(d.Path)
	return nil
}

// Keyword is one property that differs, as text.
type Keyword struct {
	Name string `json:"name"`
	Want string `json:"want"`
	Got  string `json:"got"`
}

// Compare compares the tree below root with the manifest, and returns the
// differences sorted by path. It follows no symlink, opens nothing but
// directories and regular files, and changes nothing but access times.
func Compare(ctx context.Context, root string, manifest io.Reader) ([]Difference, error) {
	want := make(map[string]*Entry)
	for r := NewReader(manifest); ; {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if _, twice := want[e.Path]; twice {
			return nil, fault.Refused("the manifest names %q twice", e.Path)
		}
		want[e.Path] = e
	}
	diffs, err := compareTree(ctx, root, want)
	if err != nil {
		return nil, fmt.Errorf("compare %s: %w", root, err)
	}
	for missing := range want {
		diffs = append(diffs, Difference{Path: missing, Kind: "missing"})
	}
	slices.SortFunc(diffs, func(a, b Difference) int { return strings.Compare(a.Path, b.Path) })
	return diffs, nil
}

// differ lists the keywords of want that got does not have.
func differ(want, got *Entry) []Keyword {
	var out []Keyword
	check := func(name, w, g string) {
		if w != g {
			out = append(out, Keyword{name, w, g})
		}
	}
	check("type", string(want.Type), string(got.Type))
	if len(out) > 0 {
		return out
	}
	check("mode", mode(want.Mode), mode(got.Mode))
	check("uid", strconv.Itoa(int(want.UID)), strconv.Itoa(int(got.UID)))
	check("gid", strconv.Itoa(int(want.GID)), strconv.Itoa(int(got.GID)))
	check("tar_time", strconv.FormatInt(want.MTime, 10), strconv.FormatInt(got.MTime, 10))
	if want.Type != Dir && want.NLink != 0 {
		check("nlink", strconv.Itoa(int(want.NLink)), strconv.Itoa(int(got.NLink)))
	}
	switch want.Type {
	case File:
		check("size", strconv.FormatInt(want.Size, 10), strconv.FormatInt(got.Size, 10))
		if !want.NoSHA256 {
			check("sha256digest", hex.EncodeToString(want.SHA256[:]), hex.EncodeToString(got.SHA256[:]))
		}
	case Symlink:
		check("link", strictjson.Quote(want.Link), strictjson.Quote(got.Link))
	case Char, Block:
		if want.Major != 0 || want.Minor != 0 {
			check("device", fmt.Sprintf("%d,%d", want.Major, want.Minor), fmt.Sprintf("%d,%d", got.Major, got.Minor))
		}
	}
	return append(out, differXattrs(want.Xattrs, got.Xattrs)...)
}

func differXattrs(want, got []Xattr) []Keyword {
	values := make(map[string][2]*string)
	for i := range want {
		values[want[i].Name] = [2]*string{&want[i].Value, nil}
	}
	for i := range got {
		pair := values[got[i].Name]
		pair[1] = &got[i].Value
		values[got[i].Name] = pair
	}
	var out []Keyword
	for name, pair := range values {
		if pair[0] != nil && pair[1] != nil && *pair[0] == *pair[1] {
			continue
		}
		k := Keyword{Name: "xattr." + name}
		if pair[0] != nil {
			k.Want = strconv.Quote(*pair[0])
		}
		if pair[1] != nil {
			k.Got = strconv.Quote(*pair[1])
		}
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b Keyword) int { return strings.Compare(a.Name, b.Name) })
	return out
}
