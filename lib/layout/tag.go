package layout

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/lib/durable"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// Tag makes the tag name the descriptor, whose blob must be in the layout.
// Another descriptor with that tag loses it; all else in index.json stays as
// it was, members unknown to us included. With an empty tag the descriptor is
// listed without a name. When Tag returns nil the tag survives a power cut.
func (l *Layout) Tag(ctx context.Context, tag string, desc ispec.Descriptor) error {
	_, err := l.SetTag(ctx, tag, desc)
	return err
}

// SetTag is Tag, and can be undone.
func (l *Layout) SetTag(ctx context.Context, tag string, desc ispec.Descriptor) (*Tagging, error) {
	e, err := l.listed(tag, desc)
	if err != nil {
		return nil, err
	}
	t := &Tagging{layout: l, tag: tag, desc: e.desc}
	return t, l.edit(ctx, func(entries []entry) ([]entry, error) {
		return t.takeAll(entries, e), nil
	})
}

// listed is the entry of a descriptor with the tag. Its blob is durable.
func (l *Layout) listed(tag string, desc ispec.Descriptor) (entry, error) {
	if tag != "" && !tagGrammar().MatchString(tag) {
		return entry{}, fault.Usage("%q is not a valid tag", tag)
	}
	if err := checkDescriptor(desc); err != nil {
		return entry{}, err
	}
	if err := l.syncBlobs(desc.Digest); err != nil {
		return entry{}, fmt.Errorf("tag %q in %s: %w", tag, l.dir, err)
	}
	desc.Annotations = maps.Clone(desc.Annotations)
	delete(desc.Annotations, ispec.AnnotationRefName)
	if tag != "" {
		if desc.Annotations == nil {
			desc.Annotations = make(map[string]string)
		}
		desc.Annotations[ispec.AnnotationRefName] = tag
	}
	raw, err := encode(desc)
	if err != nil {
		return entry{}, fmt.Errorf("tag %q in %s: %w", tag, l.dir, err)
	}
	return entry{raw, desc}, nil
}

// Tags lists the tags in the order of index.json, each once.
func (l *Layout) Tags(ctx context.Context) ([]string, error) {
	index, err := l.Index(ctx)
	if err != nil {
		return nil, err
	}
	var tags []string
	listed := make(map[string]bool)
	for _, d := range index.Manifests {
		if tag := d.Annotations[ispec.AnnotationRefName]; tag != "" && !listed[tag] {
			listed[tag] = true
			tags = append(tags, tag)
		}
	}
	return tags, nil
}

// edit changes the list of descriptors in index.json: read, change and write
// all happen under the lock.
func (l *Layout) edit(ctx context.Context, change func([]entry) ([]entry, error)) error {
	unlock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	durable.Sweep(l.tempDir())
	path := filepath.Join(l.dir, indexFile)
	data, err := l.indexBytes()
	if err != nil {
		return err
	}
	now, err := l.snapshot(data)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	entries, err := change(slices.Clone(now.entries))
	if err != nil {
		return err
	}
	next, err := now.with(entries)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if len(next.data) > MaxDocument {
		return fault.Hint(fmt.Errorf("%s would grow beyond %d bytes: the layout is full", path, MaxDocument),
			"put further tags into another layout, or the images into a registry")
	}
	if err := replaceFile(path, next.data); err != nil {
		return err
	}
	l.cache.put(l.dir, next)
	return durable.SyncDir(l.dir)
}

// with returns the index with other descriptors. It keeps the order and the
// bytes of all other members.
func (s *snapshot) with(entries []entry) (*snapshot, error) {
	next := &snapshot{index: s.index, entries: entries, members: maps.Clone(s.members)}
	list := make([]byte, 1, len(s.data)+1024)
	list[0] = '['
	for i, e := range next.entries {
		if i > 0 {
			list = append(list, ',')
		}
		list = append(list, e.raw...)
	}
	next.members["manifests"] = append(list, ']')
	var out bytes.Buffer
	out.Grow(len(list) + 1024)
	out.WriteByte('{')
	for i, key := range memberOrder(next.members) {
		if i > 0 {
			out.WriteByte(',')
		}
		name, err := encode(key)
		if err != nil {
			return nil, err
		}
		out.Write(name)
		out.WriteByte(':')
		out.Write(next.members[key])
	}
	out.WriteByte('}')
	next.data = out.Bytes()
	return next, nil
}

// memberOrder is that of the image-spec's examples, unknown members last.
func memberOrder(members map[string]json.RawMessage) []string {
	known := []string{"schemaVersion", "mediaType", "artifactType", "manifests", "subject", "annotations"}
	order := slices.DeleteFunc(slices.Clone(known), func(k string) bool { _, ok := members[k]; return !ok })
	for _, key := range slices.Sorted(maps.Keys(members)) {
		if !slices.Contains(known, key) {
			order = append(order, key)
		}
	}
	return order
}

// encode is json.Marshal without the escapes that only HTML needs.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// syncBlobs makes the names of blobs durable before a tag refers to them. The
// blob of the tag itself must be there.
func (l *Layout) syncBlobs(d digest.Digest) error {
	path, err := l.BlobPath(d)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(path); err != nil {
		return err
	}
	for _, algorithm := range []string{"sha256", "sha512"} {
		if err := ignoreMissing(durable.SyncDir(filepath.Join(l.blobs, algorithm))); err != nil {
			return err
		}
	}
	return durable.SyncDir(l.blobs)
}
