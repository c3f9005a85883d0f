package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/cli"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
	"github.com/oci-plumbing/oci-plumbing/lib/pipe"
)

// The formats of cached layers.
const (
	formatDir   = "dir"
	formatErofs = "erofs"
	formatAuto  = "auto"
)

// plan is what is to be mounted, and how. It travels as JSON into the
// namespaces of the chain form.
type plan struct {
	Root     string
	Image    string
	Bundle   string
	Platform string
	// Private bundles are those without a name of the user's choice.
	Private  bool
	ReadOnly bool
	Volatile bool
	Force    bool
	// Size of the tmpfs for the upper; zero for the disk.
	Size   int64
	IDMap  idmap.Map
	Format string
	// Program is run in the chain form; Remove deletes the bundle afterwards.
	Program program
	Remove  bool
}

// program is a command with its arguments, which need not be UTF-8: JSON holds
// them as bytes.
type program []string

// MarshalJSON implements [json.Marshaler].
func (p program) MarshalJSON() ([]byte, error) {
	words := make([][]byte, len(p))
	for i, word := range p {
		words[i] = []byte(word)
	}
	return json.Marshal(words)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (p *program) UnmarshalJSON(data []byte) error {
	var words [][]byte
	if err := json.Unmarshal(data, &words); err != nil {
		return err
	}
	*p = nil
	for _, word := range words {
		*p = append(*p, string(word))
	}
	return nil
}

// newPlan takes the flags and the operand BUNDLE.
func newPlan(inv *cli.Invocation) (plan, error) {
	root, err := stateDir(inv)
	if err != nil {
		return plan{}, err
	}
	p := plan{
		Root: root, Platform: inv.String("platform"), Format: inv.String("layer-format"),
		ReadOnly: inv.Bool("read-only"), Volatile: inv.Bool("volatile"), Force: inv.Bool("force"),
	}
	if p.IDMap, err = idmap.Parse(inv.StringSlice("id-map")); err != nil {
		return plan{}, err
	}
	if p.Size, err = parseSize(inv); err != nil {
		return plan{}, err
	}
	switch p.Format {
	case formatDir, formatErofs, formatAuto:
	default:
		return plan{}, inv.Usage("--layer-format %q is neither dir nor erofs nor auto", p.Format)
	}
	if p.ReadOnly && (p.Volatile || p.Size > 0) {
		return plan{}, inv.Usage("--read-only leaves nothing for --volatile and --size to act on")
	}
	if p.Platform != "" {
		if _, err := layout.ParsePlatform(p.Platform); err != nil {
			return plan{}, err
		}
	}
	if dir := inv.Operand(1); dir != "" {
		if p.Bundle, err = realEntry(dir); err != nil {
			return plan{}, fmt.Errorf("bundle: %w", err)
		}
	}
	return p, nil
}

// setImage takes the image from the record, and picks a bundle below the
// state directory if none was named.
func (p *plan) setImage(rec pipe.Record) error {
	p.Image = rec.Image
	if p.Image == "" {
		p.Image = rec.Name()
	}
	ref, err := layout.ParseReference(p.Image)
	if err != nil {
		return err
	}
	p.Image = ref.String()
	if p.Bundle == "" {
		p.Bundle, p.Private = filepath.Join(p.Root, mountsDir, newID()), true
	}
	for _, path := range []string{p.Root, p.Image, p.Bundle} {
		if !utf8.ValidString(path) {
			return fault.Hint(fault.Usage("%q is not UTF-8, which %s, being JSON, cannot hold", path, bundle.StateFile),
				"rename the directory, or use another one")
		}
	}
	return nil
}

const (
	mountsDir = "mounts"
	// chainPrefix begins the IDs of bundles that end with a program.
	chainPrefix = "chain-"
)

// newID names a bundle of its own.
func newID() string {
	var b [6]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// parseSize reads --size: a number of bytes, or of KiB, MiB, GiB.
func parseSize(inv *cli.Invocation) (int64, error) {
	text := inv.String("size")
	if text == "" {
		return 0, nil
	}
	digits, shift := strings.ToLower(text), 0
	for i, unit := range []string{"k", "m", "g"} {
		if rest, ok := strings.CutSuffix(digits, unit); ok {
			digits, shift = rest, 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64>>shift {
		return 0, inv.Usage("--size %q is not a number of bytes above zero, with k, m or g at most", text)
	}
	return n << shift, nil
}
