package layer

import (
	"hash/maphash"
	"slices"
)

// The index of a large directory is a table with open addressing, at most half
// full, that holds the places of children, plus one; zero is empty. A map of
// names would take four times the memory, for each file of the image.

// indexFrom is the number of children from which on a table beats a scan.
const indexFrom = 12

// seed makes the table unpredictable, so that no image can choose names that
// all meet in one place.
var seed = maphash.MakeSeed()

// slot returns the place in the table that holds name, or the empty one where
// it belongs.
func (d *directory) slot(name string) int {
	mask := len(d.index) - 1
	at := int(maphash.String(seed, name)) & mask
	for d.index[at] != 0 && d.children[d.index[at]-1].name != name {
		at = (at + 1) & mask
	}
	return at
}

func (d *directory) child(name string) *node {
	if d.index != nil {
		if i := d.index[d.slot(name)]; i != 0 {
			return d.children[i-1]
		}
		return nil
	}
	for _, c := range d.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

func (d *directory) add(n *node) {
	d.children = append(d.children, n)
	switch {
	case len(d.children) < indexFrom:
	case 2*len(d.children) > len(d.index):
		d.index = make([]int32, 2*indexSize(len(d.children)))
		d.reindex()
	default:
		d.index[d.slot(n.name)] = int32(len(d.children))
	}
}

// indexSize is the next power of two.
func indexSize(n int) int {
	size := 1
	for size < n {
		size *= 2
	}
	return size
}

// reindex fills the table, whose size stays.
func (d *directory) reindex() {
	if d.index == nil {
		return
	}
	clear(d.index)
	for i, c := range d.children {
		d.index[d.slot(c.name)] = int32(i + 1)
	}
}

func (d *directory) drop(n *node) {
	i := slices.Index(d.children, n)
	if d.index != nil {
		d.vacate(d.slot(n.name))
	}
	last := len(d.children) - 1
	if moved := d.children[last]; moved != n {
		if d.index != nil {
			d.index[d.slot(moved.name)] = int32(i + 1)
		}
		d.children[i] = moved
	}
	d.children[last] = nil
	d.children = d.children[:last]
}

// vacate empties a place, and moves up what stands behind it only because the
// place was taken.
func (d *directory) vacate(hole int) {
	mask := len(d.index) - 1
	d.index[hole] = 0
	for at := (hole + 1) & mask; d.index[at] != 0; at = (at + 1) & mask {
		i := d.index[at]
		d.index[at] = 0
		d.index[d.slot(d.children[i-1].name)] = i
	}
}
