// Package idmap maps the user and group ids of an image to those of the host.
package idmap

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// MaxID is the greatest id that can be owned. 2^32-1 is -1 to chown(2), which
// means "leave alone": a file with that owner would stay root's.
const MaxID = 1<<32 - 2

// Range maps Size ids from Container on to as many from Host on. It is the
// LinuxIDMapping of the runtime-spec, and a line of /proc/self/uid_map.
type Range struct {
	Container uint32 `json:"containerID"`
	Host      uint32 `json:"hostID"`
	Size      uint32 `json:"size"`
}

// Map is a list of ranges. The empty map is the identity.
type Map []Range

// Parse reads ranges of the form CONTAINER:HOST[:SIZE], as --uid-map and
// /proc/self/uid_map have them; SIZE is 1 when left out.
func Parse(words []string) (Map, error) {
	var m Map
	for _, w := range words {
		r, err := parseRange(w)
		if err != nil {
			return nil, err
		}
		m = append(m, r)
	}
	return m, m.check()
}

func parseRange(w string) (Range, error) {
	parts := strings.Split(w, ":")
	if len(parts) != 2 && len(parts) != 3 {
		return Range{}, fault.Usage("id map %q is not CONTAINER:HOST[:SIZE]", w)
	}
	numbers := [3]uint32{2: 1}
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 32)
		if err != nil {
			return Range{}, fault.Usage("id map %q: %q is not a number from 0 to 4294967295", w, p)
		}
		numbers[i] = uint32(n)
	}
	return Range{Container: numbers[0], Host: numbers[1], Size: numbers[2]}, nil
}

// check refuses empty, overflowing and overlapping ranges.
func (m Map) check() error {
	for i, r := range m {
		if r.Size == 0 || uint64(r.Container)+uint64(r.Size) > MaxID+1 || uint64(r.Host)+uint64(r.Size) > MaxID+1 {
			return fault.Usage("id map %s is empty or exceeds %d", r, uint32(MaxID))
		}
		for _, s := range m[:i] {
			if overlap(r.Container, r.Size, s.Container, s.Size) || overlap(r.Host, r.Size, s.Host, s.Size) {
				return fault.Usage("id maps %s and %s overlap", s, r)
			}
		}
	}
	return nil
}

func overlap(a, na, b, nb uint32) bool {
	return uint64(a) < uint64(b)+uint64(nb) && uint64(b) < uint64(a)+uint64(na)
}

// String is the form that Parse reads.
func (r Range) String() string { return fmt.Sprintf("%d:%d:%d", r.Container, r.Host, r.Size) }

// ToHost maps an id of the image. An id outside the map is an error, never
// clamped: its file would get an owner nobody asked for.
func (m Map) ToHost(id uint32) (uint32, error) {
	if len(m) == 0 {
		return id, nil
	}
	for _, r := range m {
		if id >= r.Container && id-r.Container < r.Size {
			return r.Host + (id - r.Container), nil
		}
	}
	return 0, fault.Refused("id %d is outside the id map %v", id, []Range(m))
}

// ToContainer maps an id of the host back.
func (m Map) ToContainer(id uint32) (uint32, error) {
	if len(m) == 0 {
		return id, nil
	}
	for _, r := range m {
		if id >= r.Host && id-r.Host < r.Size {
			return r.Container + (id - r.Host), nil
		}
	}
	return 0, fmt.Errorf("host id %d is outside the id map %v", id, []Range(m))
}

// Equal reports whether both maps have the same ranges in the same order.
func (m Map) Equal(other Map) bool { return slices.Equal(m, other) }
