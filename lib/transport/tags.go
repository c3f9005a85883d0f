package transport

import (
	"context"
	"fmt"
	"path"

	"go.podman.io/image/v5/docker/reference"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
)

// Pair is a source and its destination.
type Pair struct{ Source, Destination string }

// Tags pairs each tag of a repository (docker://) or layout (oci:) with the
// same tag at the destination, which is a repository, a layout, or a directory
// for one directory per tag (dir:). Both are named without a tag.
func (c *Copier) Tags(ctx context.Context, src, dst string) ([]Pair, error) {
	from, err := c.parse(src, source)
	if err != nil {
		return nil, err
	}
	to, err := tagged(dst)
	if err != nil {
		return nil, err
	}
	tags, prefix, err := c.tagsOf(ctx, from, src)
	if err != nil {
		return nil, fmt.Errorf("tags of %s: %w", src, classify(err))
	}
	pairs := make([]Pair, len(tags))
	for i, tag := range tags {
		pairs[i] = Pair{Source: prefix + ":" + tag, Destination: to(tag)}
	}
	return pairs, nil
}

// tagsOf lists the tags, and what stands before them in a reference.
func (c *Copier) tagsOf(ctx context.Context, from *target, src string) (tags []string, prefix string, err error) {
	switch ref := from.ref.(type) {
	case *layoutRef:
		if ref.ref.Tag != "" || ref.ref.Digest != "" {
			return nil, "", fault.Usage("%s names one image; for all tags name the layout alone", src)
		}
		l, err := layout.Open(ref.ref.Dir, ref.layoutOptions()...)
		if err != nil {
			return nil, "", err
		}
		tags, err = l.Tags(ctx)
		return tags, "oci:" + ref.ref.Dir, err
	case *registryRef:
		if named, ok := ref.named.(reference.Digested); ok {
			return nil, "", fault.Usage("%s names the digest %s; for all tags name the repository alone", src, named.Digest())
		}
		sys, err := c.options.system(c.options.Source)
		if err != nil {
			return nil, "", err
		}
		places, err := pullSources(sys, ref.named)
		if err != nil {
			return nil, "", err
		}
		// The last place is the registry itself, whose list counts.
		place := places[len(places)-1]
		client, err := c.client(sys, place.Reference, place.Endpoint.Insecure)
		if err != nil {
			return nil, "", err
		}
		tags, err = client.Tags(ctx, reference.Path(place.Reference), 0)
		return tags, "docker://" + ref.named.Name(), err
	default:
		return nil, "", fault.Usage("tags can be listed of docker:// and oci:, not of %s:", from.transport)
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
		if ref.Tag != "" {
			return nil, fault.Usage("%s has a tag already", dst)
		}
		return func(tag string) string { return "oci:" + ref.Dir + ":" + tag }, nil
	case "docker":
		return func(tag string) string { return dst + ":" + tag }, nil
	case "dir":
		return func(tag string) string { return "dir:" + path.Join(name, tag) }, nil
	default:
		return nil, fault.Usage("many tags can be copied to docker://, oci: and dir:, not to %q", dst)
	}
}
