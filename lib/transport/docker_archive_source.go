package transport

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/types"
	"golang.org/x/sync/errgroup"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
	"github.com/oci-plumbing/oci-plumbing/lib/strictjson"
)

// savedImage is one element of manifest.json in a Docker archive.
type savedImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// dockerArchiveSource reads an image from what docker save writes. It makes up
// the manifest that the archive lacks, of Docker's schema 2, from the config
// and the layers as they lie there.
type dockerArchiveSource struct {
	*archiveBlobs
	ref *archiveRef
	raw []byte
}

func (r *archiveRef) openDocker(ctx context.Context, index *tarIndex) (*dockerArchiveSource, error) {
	raw, err := index.document("manifest.json")
	if err != nil {
		if _, isOCI := index.find("index.json"); isOCI {
			return nil, fault.Hint(fault.Refused("it is an OCI archive: it has index.json and no manifest.json"), "read it as oci-archive:%s", r.path)
		}
		return nil, fault.Refused("it is no Docker archive: it has no manifest.json")
	}
	var images []savedImage
	if err := strictjson.Decode(raw, &images); err != nil {
		return nil, fmt.Errorf("manifest.json: %w", err)
	}
	img, err := findSaved(images, r.name)
	if err != nil {
		return nil, err
	}
	m, places, err := describe(ctx, index, img)
	if err != nil {
		return nil, err
	}
	s := &dockerArchiveSource{ref: r}
	if s.raw, err = json.Marshal(m); err != nil {
		return nil, fmt.Errorf("make the manifest: %w", err)
	}
	s.archiveBlobs = &archiveBlobs{index: index, where: func(d digest.Digest) (tarEntry, bool) {
		entry, ok := places[d]
		return entry, ok
	}}
	return s, nil
}

// findSaved finds the image of a name: NAME:TAG, @POSITION, or, when there is
// only one, nothing.
func findSaved(images []savedImage, name string) (*savedImage, error) {
	var there []string
	for i := range images {
		there = append(there, images[i].RepoTags...)
	}
	at, isPosition := strings.CutPrefix(name, "@")
	switch {
	case name == "" && len(images) == 1:
		return &images[0], nil
	case name == "":
		return nil, fault.Usage("it holds %d images, choose one: %s", len(images), listed(there))
	case isPosition:
		n, err := strconv.Atoi(at)
		if err != nil || n < 0 || n >= len(images) {
			return nil, fault.NotFound("no image %s, there are %d", name, len(images))
		}
		return &images[n], nil
	}
	for i := range images {
		if slices.ContainsFunc(images[i].RepoTags, func(tag string) bool { return sameName(tag, name) }) {
			return &images[i], nil
		}
	}
	return nil, fault.NotFound("no image %q, there is %s", name, listed(there))
}

// sameName compares names as Docker does, which writes them short or in full.
func sameName(a, b string) bool {
	x, errX := reference.ParseNormalizedNamed(a)
	y, errY := reference.ParseNormalizedNamed(b)
	return errX == nil && errY == nil && reference.TagNameOnly(x).String() == reference.TagNameOnly(y).String()
}

// describe makes the manifest of a saved image, and tells where the blobs of
// its descriptors lie.
func describe(ctx context.Context, index *tarIndex, img *savedImage) (*ispec.Manifest, map[digest.Digest]tarEntry, error) {
	rawConfig, err := index.document(inArchive(img.Config))
	if err != nil {
		return nil, nil, fmt.Errorf("config: %w", err)
	}
	var config ispec.Image
	if err := strictjson.Decode(rawConfig, &config); err != nil {
		return nil, nil, fmt.Errorf("config: %w", err)
	}
	if len(config.RootFS.DiffIDs) != len(img.Layers) || len(img.Layers) > layout.MaxLayers {
		return nil, nil, fault.Refused("manifest.json has %d layers, the config %d diff_ids", len(img.Layers), len(config.RootFS.DiffIDs))
	}
	m := &ispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: manifest.DockerV2Schema2MediaType,
		Config: ispec.Descriptor{
			MediaType: manifest.DockerV2Schema2ConfigMediaType, Digest: digest.FromBytes(rawConfig), Size: int64(len(rawConfig)),
		},
		Layers: make([]ispec.Descriptor, len(img.Layers)),
	}
	entries := make([]tarEntry, len(img.Layers))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(localParallel())
	for i, name := range img.Layers {
		group.Go(func() error {
			var err error
			m.Layers[i], entries[i], err = describeLayer(ctx, index, inArchive(name), config.RootFS.DiffIDs[i])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	configEntry, _ := index.find(inArchive(img.Config))
	places := map[digest.Digest]tarEntry{m.Config.Digest: configEntry}
	for i, layer := range m.Layers {
		places[layer.Digest] = entries[i]
	}
	return m, places, nil
}

// describeLayer describes a layer as it lies in the archive: one that is
// stored plainly has its diffID for digest; one that is compressed is hashed,
// rather than decompressed to learn a size.
func describeLayer(ctx context.Context, index *tarIndex, name string, diffID digest.Digest) (ispec.Descriptor, tarEntry, error) {
	desc := ispec.Descriptor{MediaType: manifest.DockerV2SchemaLayerMediaTypeUncompressed, Digest: diffID}
	entry, ok := index.find(name)
	if !ok {
		return desc, entry, fault.Refused("layer %.100q is not in the archive", name)
	}
	if err := layout.CheckDigest(diffID); err != nil {
		return desc, entry, fmt.Errorf("diff_id: %w", err)
	}
	desc.Size = entry.size
	magic := make([]byte, 6)
	n, err := index.file.ReadAt(magic[:min(6, entry.size)], entry.offset)
	if err != nil {
		return desc, entry, fmt.Errorf("layer %.100q: %w", name, err)
	}
	if !compressed(magic[:n]) {
		return desc, entry, nil
	}
	if magic[0] != 0x1f {
		return desc, entry, fault.Refused("layer %.100q is compressed, and not with gzip", name)
	}
	desc.MediaType = manifest.DockerV2Schema2LayerMediaType
	hash := digest.SHA256.Digester()
	section := io.NewSectionReader(index.file, entry.offset, entry.size)
	if err := copyTo(hash.Hash(), &contextReader{ctx, section}); err != nil {
		return desc, entry, fmt.Errorf("layer %.100q: %w", name, err)
	}
	desc.Digest = hash.Digest()
	return desc, entry, nil
}

// Reference is what was asked for.
func (s *dockerArchiveSource) Reference() types.ImageReference { return s.ref }

// GetManifest returns the manifest that was made up.
func (s *dockerArchiveSource) GetManifest(context.Context, *digest.Digest) ([]byte, string, error) {
	return s.raw, manifest.DockerV2Schema2MediaType, nil
}
