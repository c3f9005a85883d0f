package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
)

// tag moves the tag to the new image, and returns how to put it back. A tag of
// an index for several platforms stays one: the image takes its parent's place
// in it.
func tag(ctx context.Context, l *layout.Layout, dst layout.Reference, desc ispec.Descriptor, parent digest.Digest) (undo func(context.Context) error, err error) {
	before, err := tagged(ctx, l, dst.Tag)
	if err != nil {
		return nil, err
	}
	if before != nil {
		if desc, err = inIndex(ctx, l, *before, desc, parent); err != nil {
			return nil, fmt.Errorf("tag %q in %s: %w", dst.Tag, l.Dir(), err)
		}
	}
	set, err := l.SetTag(ctx, dst.Tag, desc)
	if err != nil {
		return nil, err
	}
	return set.Undo, nil
}

// tagged returns what the tag names; nil when there is no such tag.
func tagged(ctx context.Context, l *layout.Layout, tag string) (*ispec.Descriptor, error) {
	index, err := l.Index(ctx)
	if err != nil {
		return nil, fmt.Errorf("destination: %w", err)
	}
	i := slices.IndexFunc(index.Manifests, func(d ispec.Descriptor) bool { return d.Annotations[ispec.AnnotationRefName] == tag })
	if i < 0 {
		return nil, nil
	}
	return &index.Manifests[i], nil
}

// inIndex returns what the tag shall name: desc itself, or where the tag names
// an index that lists the parent, that index with desc in the parent's place.
// All other members keep their values.
func inIndex(ctx context.Context, l *layout.Layout, before, desc ispec.Descriptor, parent digest.Digest) (ispec.Descriptor, error) {
	if lists, err := listsManifest(ctx, l, before, parent); err != nil || !lists {
		return desc, err
	}
	raw, err := l.ReadBlob(ctx, before, layout.MaxDocument)
	if err != nil {
		return desc, err
	}
	next, err := replaceManifest(raw, parent, desc)
	if err != nil {
		return desc, err
	}
	index, err := l.PutBytes(ctx, before.MediaType, next)
	index.Annotations = before.Annotations
	return index, err
}

// listsManifest reports whether desc is of an index, and that lists the manifest.
func listsManifest(ctx context.Context, l *layout.Layout, desc ispec.Descriptor, manifest digest.Digest) (bool, error) {
	if manifest == "" || desc.MediaType != ispec.MediaTypeImageIndex && desc.MediaType != layout.DockerList {
		return false, nil
	}
	raw, err := l.ReadBlob(ctx, desc, layout.MaxDocument)
	if err != nil {
		return false, err
	}
	var index ispec.Index
	if err := json.Unmarshal(raw, &index); err != nil {
		return false, fault.Refused("read the index %s: %w", desc.Digest, err)
	}
	return slices.ContainsFunc(index.Manifests, func(d ispec.Descriptor) bool { return d.Digest == manifest }), nil
}

// replaceManifest returns the index with another manifest in the place of the
// one with the digest.
func replaceManifest(index []byte, old digest.Digest, desc ispec.Descriptor) ([]byte, error) {
	var members map[string]json.RawMessage
	var list []map[string]json.RawMessage
	err := json.Unmarshal(index, &members)
	if err == nil {
		err = json.Unmarshal(members["manifests"], &list)
	}
	if err != nil {
		return nil, fault.Refused("read the index: %w", err)
	}
	for _, entry := range list {
		var is digest.Digest
		if err := json.Unmarshal(entry["digest"], &is); err != nil || is != old {
			continue
		}
		delete(entry, "data") // the old manifest itself, where it was embedded
		for name, value := range map[string]any{"mediaType": desc.MediaType, "digest": desc.Digest, "size": desc.Size} {
			if entry[name], err = json.Marshal(value); err != nil {
				return nil, fmt.Errorf("encode the index: %w", err)
			}
		}
	}
	if members["manifests"], err = json.Marshal(list); err != nil {
		return nil, fmt.Errorf("encode the index: %w", err)
	}
	return json.Marshal(members)
}
