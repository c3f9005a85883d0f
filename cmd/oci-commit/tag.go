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

// tag moves the tag to the new image. A tag for several platforms stays one:
// the image takes its parent's place in it. So it did when the commit began,
// with shared; that another commit of the same parent came first is an error.
func tag(ctx context.Context, l *layout.Layout, dst layout.Reference, desc ispec.Descriptor, parent digest.Digest, shared bool) (*layout.Tagging, error) {
	return l.Retag(ctx, dst.Tag, func(now []ispec.Descriptor) (ispec.Descriptor, int, error) {
		at, err := placeOf(ctx, l, now, parent)
		switch {
		case err != nil:
			return desc, at, err
		case at < 0 && shared:
			return desc, at, fault.Hint(fault.Temporary("another commit has replaced the parent image %s meanwhile", parent),
				"try again with a bundle of the new image, or commit to another tag")
		case at < 0 || !layout.IsIndex(now[at].MediaType):
			return desc, at, nil
		}
		index, err := inIndex(ctx, l, now[at], desc, parent)
		return index, at, err
	})
}

// tagged returns what the tag names: an image, an index, or images for several
// platforms.
func tagged(ctx context.Context, l *layout.Layout, tag string) ([]ispec.Descriptor, error) {
	index, err := l.Index(ctx)
	if err != nil {
		return nil, fmt.Errorf("destination: %w", err)
	}
	return slices.DeleteFunc(index.Manifests, func(d ispec.Descriptor) bool { return d.Annotations[ispec.AnnotationRefName] != tag }), nil
}

// isShared reports whether the tag names the parent among images for other
// platforms.
func isShared(ctx context.Context, l *layout.Layout, tag string, parent digest.Digest) (bool, error) {
	now, err := tagged(ctx, l, tag)
	if err != nil {
		return false, err
	}
	at, err := placeOf(ctx, l, now, parent)
	return err == nil && at >= 0 && (len(now) > 1 || layout.IsIndex(now[at].MediaType)), err
}

// placeOf finds which of the descriptors is the parent, or an index that lists
// it; -1 when none is.
func placeOf(ctx context.Context, l *layout.Layout, now []ispec.Descriptor, parent digest.Digest) (int, error) {
	for i, desc := range now {
		if desc.Digest == parent {
			return i, nil
		}
		if lists, err := listsManifest(ctx, l, desc, parent); lists || err != nil {
			return i, err
		}
	}
	return -1, nil
}

// inIndex returns the index with desc in the parent's place. All other members
// keep their values.
func inIndex(ctx context.Context, l *layout.Layout, before, desc ispec.Descriptor, parent digest.Digest) (ispec.Descriptor, error) {
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
	if manifest == "" || !layout.IsIndex(desc.MediaType) {
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
