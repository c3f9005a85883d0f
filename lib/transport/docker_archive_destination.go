package transport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/types"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/inflate"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
)

// saver writes a Docker archive, as docker save does: the config, the layers
// uncompressed, and manifest.json.
type saver struct {
	job *job
	src blobSource
	tar *tarWriter
	had map[digest.Digest]bool
}

// save writes the image straight into a Docker archive. It reports false, and
// has done nothing, when the library has to convert the image first.
func (j *job) save(ctx context.Context, instance *digest.Digest, sys *types.SystemContext) (raw []byte, did bool, _ error) {
	dst, ok := j.dst.ref.(*archiveRef)
	src, isBlobs := j.source.(blobSource)
	if !ok || dst.kind != dockerArchive || !isBlobs || j.changesLayers() {
		return nil, false, nil
	}
	img, err := j.inspect(ctx, src, instance)
	if img == nil || err != nil {
		return nil, false, err
	}
	if img.config == nil {
		return nil, false, fault.Refused("it is no image but another artifact: its config has media type %.100q", img.manifest.Config.MediaType)
	}
	for _, layer := range img.manifest.Layers {
		if isForeign(layer) || isEncrypted(layer) {
			return nil, false, nil
		}
	}
	out, err := dst.createArchive(ctx)
	if err != nil {
		return nil, false, err
	}
	s := &saver{job: j, src: src, tar: &tarWriter{out: out}, had: make(map[digest.Digest]bool)}
	if err := s.image(ctx, img, dst.tags(sys)); err != nil {
		return nil, false, errors.Join(err, out.discard())
	}
	return img.raw, true, out.publish(ctx)
}

// tags are the names that the image gets in the archive.
func (r *archiveRef) tags(sys *types.SystemContext) []string {
	tags := []string{}
	if named, ok := r.DockerReference().(reference.NamedTagged); ok {
		tags = append(tags, named.String())
	}
	for _, tag := range sys.DockerArchiveAdditionalTags {
		tags = append(tags, tag.String())
	}
	return tags
}

// image writes one image.
func (s *saver) image(ctx context.Context, img *inspected, tags []string) error {
	saved := savedImage{Config: img.manifest.Config.Digest.Encoded() + ".json", RepoTags: tags, Layers: []string{}}
	for i, layer := range img.manifest.Layers {
		diffID := img.config.RootFS.DiffIDs[i]
		name := diffID.Encoded() + ".tar"
		saved.Layers = append(saved.Layers, name)
		if s.had[diffID] {
			continue
		}
		s.had[diffID] = true
		if err := s.layer(ctx, name, layer, diffID); err != nil {
			return fmt.Errorf("layer %s: %w", layer.Digest, err)
		}
	}
	if err := s.tar.bytes(saved.Config, img.rawConfig); err != nil {
		return err
	}
	index, err := json.Marshal([]savedImage{saved})
	if err != nil {
		return fmt.Errorf("manifest.json: %w", err)
	}
	if err := s.tar.bytes("manifest.json", index); err != nil {
		return err
	}
	return s.tar.finish()
}

// layer writes a layer uncompressed. Reading with its hash, decompressing, and
// writing with the other hash go on at the same time.
func (s *saver) layer(ctx context.Context, name string, desc ispec.Descriptor, diffID digest.Digest) error {
	if err := layout.CheckDigest(desc.Digest); err != nil {
		return err
	}
	t := s.job.tracker
	t.event(Event{Action: Begun, Digest: desc.Digest, Size: desc.Size})
	stored, err := s.src.openBlob(ctx, desc)
	if err != nil {
		return err
	}
	ahead := readAhead(&countingReader{stored, t.mover(desc.Digest, desc.Size)})
	plain, err := decompress(ahead, desc.MediaType)
	if err != nil {
		return errors.Join(err, ahead.Close())
	}
	body := &diffIDReader{r: readAhead(plain), want: diffID, digester: diffID.Algorithm().Digester()}
	err = s.tar.unsized(name, s.job.copier.options.tempDir(), body)
	err = errors.Join(err, body.r.Close(), ahead.Close())
	if err != nil {
		return err
	}
	t.event(Event{Action: Done, Digest: desc.Digest, Size: desc.Size, Offset: desc.Size})
	return nil
}

// maxWindow bounds what a zstd frame may make the decoder hold; RFC 8878
// recommends 8 MiB, and zstd --ultra goes to 128.
const maxWindow = 128 << 20

// decompress chooses by media type.
func decompress(r io.Reader, mediaType string) (io.ReadCloser, error) {
	switch {
	case isUncompressed(mediaType):
		return io.NopCloser(r), nil
	case hasSuffix(mediaType, "+gzip", ".gzip"):
		z, err := inflate.NewReader(r)
		if err != nil {
			return nil, err
		}
		return io.NopCloser(z), nil
	case hasSuffix(mediaType, "+zstd", ".zstd"):
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, fault.As(fault.ErrRefused, fmt.Errorf("zstd: %w", err))
		}
		return refusing{z.IOReadCloser()}, nil
	default:
		return nil, fault.Refused("unknown layer media type %.100q", mediaType)
	}
}

// refusing marks what a decoder finds wrong as a refusal; errors of the source
// below it have their kind already.
type refusing struct{ io.ReadCloser }

func (r refusing) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && fault.Kind(err) == nil && !errors.Is(err, context.Canceled) {
		err = fault.As(fault.ErrRefused, fmt.Errorf("zstd: %w", err))
	}
	return n, err
}

// diffIDReader holds what was decompressed to the config's diff_id.
type diffIDReader struct {
	r        io.ReadCloser
	want     digest.Digest
	digester digest.Digester
}

func (d *diffIDReader) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	d.digester.Hash().Write(p[:n])
	if errors.Is(err, io.EOF) {
		if got := d.digester.Digest(); got != d.want {
			return n, fault.Refused("it decompresses to %s, its diff_id is %s", got, d.want)
		}
	}
	return n, err
}
