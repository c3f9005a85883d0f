package transport

import (
	"context"
	"fmt"
	"path"
	"strings"

	"go.podman.io/image/v5/docker/reference"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
)

// Pair is a source and its destination.
type Pair struct {
	Source, Destination string
	// Tag is the one that both have, when they are of a Tagging.
	Tag string
}

// Tagging pairs each tag of a repository (docker://) or layout (oci:) with the
// same tag at the destination, which is a repository, a layout, or a directory
// for one directory per tag (dir:).
type Tagging struct {
	copier *Copier
	src    string
	from   *target
	// prefix stands before a tag of the source, and to makes the destination.
	prefix string
	to     func(tag string) string
}

// Tagging checks two ends that are named without a tag. Neither is asked.
func (c *Copier) Tagging(src, dst string) (*Tagging, error) {
	from, err := c.parse(src, source)
	if err != nil {
		return nil, err
	}
	t := &Tagging{copier: c, src: src, from: from}
	if t.prefix, err = untagged(from, src); err != nil {
		return nil, err
	}
	t.to, err = tagged(dst)
	return t, err
}

// Pair is the pair of one tag.
func (t *Tagging) Pair(tag string) Pair {
	return Pair{Source: t.prefix + ":" + tag, Destination: t.to(tag), Tag: tag}
}

// Pairs asks the source for its tags.
func (t *Tagging) Pairs(ctx context.Context) ([]Pair, error) {
	tags, err := t.tags(ctx)
	if err != nil {
		return nil, fmt.Errorf("tags of %s: %w", t.src, classify(err))
	}
	var pairs []Pair
	seen := make(map[string]bool)
	for _, tag := range tags {
		if !seen[tag] {
			seen[tag] = true
			pairs = append(pairs, t.Pair(tag))
		}
	}
	return pairs, nil
}

// untagged is what stands before the tags of a source in a reference.
func untagged(from *target, src string) (string, error) {
	switch ref := from.ref.(type) {
	case *layoutRef:
		if ref.ref.Tag != "" || ref.ref.Digest != "" {
			return "", fault.Usage("%s names one image; for all tags name the layout alone", src)
		}
		return "oci:" + ref.ref.Dir, nil
	case *registryRef:
		if err := repositoryAlone(src); err != nil {
			return "", err
		}
		return "docker://" + ref.named.Name(), nil
	default:
		return "", fault.Usage("tags can be listed of docker:// and oci:, not of %s:", from.transport)
	}
}

// repositoryAlone refuses docker://NAME with a tag or digest.
func repositoryAlone(s string) error {
	named, err := reference.ParseNormalizedNamed(strings.TrimPrefix(s, "docker://"))
	if err != nil {
		return fault.Usage("%q: %v", s, err)
	}
	if !reference.IsNameOnly(named) {
		return fault.Usage("%s names one image; for all tags name the repository alone", s)
	}
	return nil
}

func (t *Tagging) tags(ctx context.Context) ([]string, error) {
	switch ref := t.from.ref.(type) {
	case *layoutRef:
		l, err := layout.Open(ref.ref.Dir, ref.layoutOptions()...)
		if err != nil {
			return nil, err
		}
		return l.Tags(ctx)
	case *registryRef:
		c := t.copier
		sys, err := c.options.system(c.options.Source)
		if err != nil {
			return nil, err
		}
		places, err := pullSources(sys, ref.named)
		if err != nil {
			return nil, err
		}
		// The last place is the registry itself, whose list counts.
		place := places[len(places)-1]
		client, err := c.client(sys, place.Reference, place.Endpoint.Insecure)
		if err != nil {
			return nil, err
		}
		return client.Tags(ctx, reference.Path(place.Reference), 0)
	default:
		return nil, nil
	}
}

// tagged returns what makes the destination of a tag.
func tagged(dst string) (func(tag string) string, error) {
	switch transport, name := cutTransport(dst); transport {
	case "oci":
		ref, err := layout.ParseReference(dst)
		if err != nil {
			return nil, err
		}
		if ref.Tag != "" || ref.Digest != "" {
			return nil, fault.Usage("%s names one image; for all tags name the layout alone", dst)
		}
		return func(tag string) string { return "oci:" + ref.Dir + ":" + tag }, nil
	case "docker":
		if err := repositoryAlone(dst); err != nil {
			return nil, err
		}
		return func(tag string) string { return dst + ":" + tag }, nil
	case "dir":
		if name == "" {
			return nil, fault.Usage("%q names no directory", dst)
		}
		return func(tag string) string { return "dir:" + path.Join(name, tag) }, nil
	default:
		return nil, fault.Usage("many tags can be copied to docker://, oci: and dir:, not to %q", dst)
	}
}
