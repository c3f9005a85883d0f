package transport

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	imagecopy "go.podman.io/image/v5/copy"
	"go.podman.io/image/v5/image"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/types"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
)

// selection is what of the source gets copied.
type selection struct {
	// list and instances are what the library is told.
	list      imagecopy.ImageListSelection
	instances []digest.Digest
	strip     bool
	// images are the manifests to copy; nil among them is the top one.
	images []*digest.Digest
	// platforms are those of the images, as the index tells them.
	platforms []layout.Platform
}

// choose reads the top manifest and decides what of it gets copied.
func (c *Copier) choose(ctx context.Context, src types.ImageSource, sys *types.SystemContext) (*selection, error) {
	raw, mediaType, err := image.UnparsedInstance(src, nil).Manifest(ctx)
	if err != nil {
		return nil, err
	}
	if !manifest.MIMETypeIsMultiImage(mediaType) {
		return &selection{images: []*digest.Digest{nil}}, c.checkPlatform(ctx, src, sys)
	}
	index, err := decodeIndex(raw)
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	var s *selection
	switch {
	case c.options.MultiArch == MultiArchAll:
		s = &selection{list: imagecopy.CopyAllImages, images: instancesOf(index.Manifests)}
	case c.options.MultiArch == MultiArchIndexOnly:
		s = &selection{list: imagecopy.CopySpecificImages}
	case len(c.options.Platforms) > 1:
		s, err = c.choosePlatforms(index)
	default:
		s, err = chooseOne(raw, mediaType, index, sys)
	}
	if err != nil {
		return nil, err
	}
	if err := s.checkNesting(index); err != nil {
		return nil, err
	}
	for _, desc := range index.Manifests {
		if desc.Platform != nil && slices.ContainsFunc(s.images, func(d *digest.Digest) bool { return *d == desc.Digest }) {
			s.platforms = append(s.platforms, platformOf(desc))
		}
	}
	return s, nil
}

// checkNesting refuses an index among the images to copy, which nobody reads.
func (s *selection) checkNesting(index *ispec.Index) error {
	for _, desc := range index.Manifests {
		chosen := slices.ContainsFunc(s.images, func(d *digest.Digest) bool { return *d == desc.Digest })
		if chosen && manifest.MIMETypeIsMultiImage(desc.MediaType) {
			return fault.Hint(fault.Refused("the index holds another index, %s, in place of an image", desc.Digest), "copy that one: name it by @%s", desc.Digest)
		}
	}
	return nil
}

// chooseOne lets the library choose the image for one platform, and says what
// there is when none suits.
func chooseOne(raw []byte, mediaType string, index *ispec.Index, sys *types.SystemContext) (*selection, error) {
	list, err := manifest.ListFromBlob(raw, mediaType)
	if err != nil {
		return nil, fault.As(fault.ErrRefused, fmt.Errorf("index: %w", err))
	}
	chosen, err := list.ChooseInstance(sys)
	if err != nil {
		want := layout.HostPlatform()
		if sys.ArchitectureChoice != "" {
			want = layout.Platform{OS: sys.OSChoice, Architecture: sys.ArchitectureChoice, Variant: sys.VariantChoice}
		}
		return nil, noImageFor(want, index)
	}
	return &selection{images: []*digest.Digest{&chosen}}, nil
}

// choosePlatforms takes the images of several platforms, and an index of just
// these: registries refuse an index that names what they do not have.
func (c *Copier) choosePlatforms(index *ispec.Index) (*selection, error) {
	s := &selection{list: imagecopy.CopySpecificImages, strip: !c.options.PreserveDigests}
	for _, want := range c.options.Platforms {
		found := false
		for _, desc := range index.Manifests {
			if !matches(want, platformOf(desc)) {
				continue
			}
			found = true
			if !slices.Contains(s.instances, desc.Digest) {
				s.instances = append(s.instances, desc.Digest)
			}
		}
		if !found {
			return nil, noImageFor(want, index)
		}
	}
	for i := range s.instances {
		s.images = append(s.images, &s.instances[i])
	}
	return s, nil
}

// checkPlatform holds an image that is not one of an index to the platforms
// asked for, by its config: the source has nothing else to choose.
func (c *Copier) checkPlatform(ctx context.Context, src types.ImageSource, sys *types.SystemContext) error {
	if len(c.options.Platforms) == 0 {
		return nil
	}
	unparsed := image.UnparsedInstance(src, nil)
	if err := c.allowed(ctx, unparsed); err != nil {
		return err
	}
	img, err := image.FromUnparsedImage(ctx, sys, unparsed)
	if err != nil {
		return err
	}
	config, err := img.OCIConfig(ctx)
	var artifact manifest.NonImageArtifactError
	switch {
	case errors.As(err, &artifact):
		return nil
	case err != nil:
		return fmt.Errorf("config: %w", err)
	}
	there := layout.Platform{OS: config.OS, Architecture: config.Architecture, Variant: config.Variant}
	for _, want := range c.options.Platforms {
		if there.Variant == "" {
			want.Variant = "" // a config need not tell it
		}
		if !matches(want, there) {
			return fault.NotFound("no image for platform %s, there is %s", want, there)
		}
	}
	return nil
}

// matches reports whether p is what was asked for; without a variant asked
// for, all variants are.
func matches(want, p layout.Platform) bool {
	return want.OS == p.OS && want.Architecture == p.Architecture && (want.Variant == "" || want.Variant == p.Variant)
}

func noImageFor(want layout.Platform, index *ispec.Index) error {
	var there []string
	for _, desc := range index.Manifests {
		name := platformOf(desc).String()
		if desc.Platform == nil {
			name = "@" + desc.Digest.String()
		}
		if !slices.Contains(there, name) && name != "unknown/unknown" {
			there = append(there, name)
		}
	}
	return fault.Hint(fault.NotFound("no image for platform %s, there is %s", want, listed(there)),
		"choose with --platform OS/ARCHITECTURE[/VARIANT], or take --all")
}

func instancesOf(descs []ispec.Descriptor) []*digest.Digest {
	var all []*digest.Digest
	for i := range descs {
		all = append(all, &descs[i].Digest)
	}
	return all
}
