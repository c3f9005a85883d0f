package layout

import (
	"context"
	"fmt"
	"slices"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// Bounds of a walk through nested indexes: 40 levels of two entries each would
// be 2^40 visits.
const (
	maxIndexDepth  = 8
	maxDescriptors = 10_000
)

// Resolve finds the image that the reference names and that suits the platform
// best; the zero Platform is the host's. A tag that names one manifest is that
// image, whatever it is for, unless a platform was asked for.
func (l *Layout) Resolve(ctx context.Context, ref Reference, want Platform) (*Image, error) {
	desc, err := l.Find(ctx, ref)
	if err != nil {
		return nil, err
	}
	candidates, err := l.manifests(ctx, desc)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	chosen, err := choose(ref, desc, candidates, want)
	if err != nil {
		return nil, err
	}
	img, err := l.Image(ctx, chosen)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	img.Reference = ref
	if want != (Platform{}) && want.rank(img.Platform) == 0 {
		return nil, fault.NotFound("%s: no image for %s, there is %s", ref, want, img.Platform)
	}
	return img, nil
}

// Find returns the descriptors in index.json that the reference names: more
// than one only when a tag stands there once per platform.
func (l *Layout) Find(ctx context.Context, ref Reference) ([]ispec.Descriptor, error) {
	index, err := l.Index(ctx)
	if err != nil {
		return nil, err
	}
	var found []ispec.Descriptor
	for _, d := range index.Manifests {
		if ref.Tag == "" || d.Annotations[ispec.AnnotationRefName] == ref.Tag {
			found = append(found, d)
		}
	}
	switch {
	case len(found) == 0 && ref.Tag != "":
		return nil, fault.NotFound("no tag %q in layout %s, there is %s", ref.Tag, l.dir, there(index))
	case len(found) == 0:
		return nil, fault.NotFound("layout %s holds no image", l.dir)
	case ref.Digest != "":
		return l.findDigest(ctx, ref, found)
	case ref.Tag == "" && len(found) > 1 && !sameTag(found):
		return nil, fault.Hint(fault.Usage("layout %s holds several images: %s", l.dir, there(index)), "choose one: oci:%s:TAG", l.dir)
	}
	return found, nil
}

// findDigest looks for the digest among the descriptors and below them.
func (l *Layout) findDigest(ctx context.Context, ref Reference, from []ispec.Descriptor) ([]ispec.Descriptor, error) {
	for _, d := range from {
		if d.Digest == ref.Digest {
			return []ispec.Descriptor{d}, nil
		}
	}
	var found []ispec.Descriptor
	err := l.walk(ctx, from, func(d ispec.Descriptor) bool {
		if d.Digest == ref.Digest {
			found = append(found, d)
		}
		return len(found) == 0
	})
	if err == nil && len(found) == 0 {
		err = fault.NotFound("no manifest %s in layout %s", ref.Digest, l.dir)
	}
	return found, err
}

func sameTag(descs []ispec.Descriptor) bool {
	tag := descs[0].Annotations[ispec.AnnotationRefName]
	return tag != "" && !slices.ContainsFunc(descs, func(d ispec.Descriptor) bool {
		return d.Annotations[ispec.AnnotationRefName] != tag
	})
}

// there lists the tags, or the digests of what has none, for a message.
func there(index *ispec.Index) string {
	var names []string
	listed := make(map[string]bool)
	for _, d := range index.Manifests {
		name := d.Annotations[ispec.AnnotationRefName]
		if name == "" {
			name = "@" + d.Digest.String()
		}
		if !listed[name] {
			listed[name] = true
			names = append(names, name)
		}
	}
	const most = 20
	if len(names) == 0 {
		return "none"
	}
	if len(names) > most {
		names = append(names[:most:most], fmt.Sprintf("and %d more", len(names)-most))
	}
	return strings.Join(names, ", ")
}

// manifests returns the image manifests that the descriptors lead to.
func (l *Layout) manifests(ctx context.Context, from []ispec.Descriptor) ([]ispec.Descriptor, error) {
	var found []ispec.Descriptor
	err := l.walk(ctx, from, func(d ispec.Descriptor) bool {
		if IsManifest(d.MediaType) {
			found = append(found, d)
		}
		return true
	})
	return found, err
}

// walk visits the descriptors and all that the indexes among them lead to,
// each once, until visit returns false.
func (l *Layout) walk(ctx context.Context, from []ispec.Descriptor, visit func(ispec.Descriptor) bool) error {
	w := walker{layout: l, visit: visit, seen: make(map[string]bool)}
	return w.level(ctx, from, 0)
}

type walker struct {
	layout  *Layout
	visit   func(ispec.Descriptor) bool
	seen    map[string]bool
	stopped bool
}

func (w *walker) level(ctx context.Context, from []ispec.Descriptor, depth int) error {
	if depth > maxIndexDepth {
		return fault.Refused("indexes are nested deeper than %d levels", maxIndexDepth)
	}
	for _, d := range from {
		// One manifest may stand there for several platforms.
		key := d.Digest.String()
		if d.Platform != nil {
			key += " " + platformOf(d.Platform).String()
		}
		if w.stopped || w.seen[key] {
			continue
		}
		w.seen[key] = true
		if len(w.seen) > maxDescriptors {
			return fault.Refused("more than %d descriptors", maxDescriptors)
		}
		if !w.visit(d) {
			w.stopped = true
			return nil
		}
		if !IsIndex(d.MediaType) {
			continue
		}
		index, err := w.layout.nested(ctx, d)
		if err != nil {
			return err
		}
		if err := w.level(ctx, index.Manifests, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// nested reads an index that is a blob.
func (l *Layout) nested(ctx context.Context, desc ispec.Descriptor) (*ispec.Index, error) {
	raw, err := l.ReadBlob(ctx, desc, MaxDocument)
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	index, err := decodeIndexAs(raw, desc.MediaType)
	if err != nil {
		return nil, fmt.Errorf("index %s: %w", desc.Digest, err)
	}
	return index, nil
}

// choose picks the manifest that suits the platform best; the first of equals,
// as image-index.md wants.
func choose(ref Reference, named, candidates []ispec.Descriptor, want Platform) (ispec.Descriptor, error) {
	if len(named) == 1 && !IsIndex(named[0].MediaType) {
		return named[0], nil
	}
	if want == (Platform{}) {
		want = HostPlatform()
	}
	var best ispec.Descriptor
	bestRank := 0
	var platforms []string
	for _, d := range candidates {
		if d.Platform == nil {
			// Without a platform it may be for any; only a single one
			// can be taken on trust.
			if len(candidates) == 1 {
				return d, nil
			}
			platforms = append(platforms, "@"+d.Digest.String())
			continue
		}
		p := platformOf(d.Platform)
		platforms = append(platforms, p.String())
		if r := want.rank(p); r > bestRank {
			best, bestRank = d, r
		}
	}
	if bestRank > 0 {
		return best, nil
	}
	if len(platforms) == 0 {
		return best, fault.Refused("%s: the index holds no image manifest", ref)
	}
	return best, fault.Hint(fault.NotFound("%s: no image for %s, there is %s", ref, want, strings.Join(platforms, ", ")),
		"choose one with --platform OS/ARCHITECTURE[/VARIANT]")
}
