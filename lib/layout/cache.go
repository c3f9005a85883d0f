package layout

import (
	"bytes"
	"encoding/json"
	"sync"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// IndexCache remembers what the index.json of layouts decodes to, for those
// who read or tag many images of one layout: decoding is what a tag among
// thousands costs. The file is still read each time, and what is remembered
// only counts when the bytes are the same. The zero value is ready, and may be
// used from many goroutines.
type IndexCache struct {
	mu   sync.Mutex
	seen map[string]*snapshot
}

// Remember has the layout use the cache.
func Remember(c *IndexCache) Option {
	return func(l *Layout) { l.cache = c }
}

// snapshot is an index.json, decoded. It does not change.
type snapshot struct {
	data []byte
	// index is without its manifests, which entries has.
	index   ispec.Index
	entries []entry
	// members are those of the document as they stand there.
	members map[string]json.RawMessage
}

// entry is a descriptor in index.json, and its bytes there.
type entry struct {
	raw  json.RawMessage
	desc ispec.Descriptor
}

// manifests returns the descriptors, in a list that the caller may change.
func (s *snapshot) manifests() []ispec.Descriptor {
	descs := make([]ispec.Descriptor, len(s.entries))
	for i, e := range s.entries {
		descs[i] = e.desc
	}
	return descs
}

// snapshot decodes index.json, unless it is known.
func (l *Layout) snapshot(data []byte) (*snapshot, error) {
	if s := l.cache.get(l.dir); s != nil && bytes.Equal(s.data, data) {
		return s, nil
	}
	index, err := decodeIndex(data)
	if err != nil {
		return nil, err
	}
	s := &snapshot{data: data, index: *index, entries: make([]entry, len(index.Manifests))}
	s.index.Manifests = nil
	if err := json.Unmarshal(data, &s.members); err != nil {
		return nil, err
	}
	var raws []json.RawMessage
	if raw, ok := s.members["manifests"]; ok {
		if err := json.Unmarshal(raw, &raws); err != nil {
			return nil, err
		}
	}
	for i, desc := range index.Manifests {
		s.entries[i] = entry{raws[i], desc}
	}
	l.cache.put(l.dir, s)
	return s, nil
}

// get returns what is known of the layout in dir, or nil. Without a cache
// nothing is known.
func (c *IndexCache) get(dir string) *snapshot {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[dir]
}

func (c *IndexCache) put(dir string, s *snapshot) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = make(map[string]*snapshot)
	}
	c.seen[dir] = s
}
