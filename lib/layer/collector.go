package layer

import "runtime/debug"

// smallImage is what is applied before a collection would have paid.
const smallImage = 4 << 20

// TuneCollector sets Go's collector for a process of which applying the layers
// is the whole work. It collects early, at growth percent: the tree in memory
// is what lives long, the rest is bounded by budgets. With small layers it
// stays away.
func TuneCollector(layers []Layer, growth int) {
	total := int64(0)
	for _, l := range layers {
		total += l.Descriptor.Size
	}
	if total <= smallImage {
		growth = 400
	}
	debug.SetGCPercent(growth)
}
