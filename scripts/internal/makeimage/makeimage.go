// Package makeimage writes OCI layouts of any size, as a stream and without
// lib/layout: what the tools are measured with does not come from the tools.
package makeimage

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Writer writes one layout. Its image may be changed between tags.
type Writer struct {
	Manifest ispec.Manifest
	Config   ispec.Image
	dir      string
	index    ispec.Index
}

// New begins a layout in dir with an image without layers.
func New(dir string) (*Writer, error) {
	created := time.Unix(1_700_000_000, 0).UTC()
	w := &Writer{dir: dir}
	w.Config = ispec.Image{Created: &created, Platform: ispec.Platform{OS: "linux", Architecture: runtime.GOARCH}}
	w.Config.RootFS.Type = "layers"
	w.Config.Config.Cmd = []string{"/bin/true"}
	w.Config.Config.Env = []string{"PATH=/usr/bin:/bin"}
	w.Manifest.MediaType = ispec.MediaTypeImageManifest
	w.Manifest.SchemaVersion = 2
	w.index.MediaType = ispec.MediaTypeImageIndex
	w.index.SchemaVersion = 2
	return w, os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755)
}

// Layer adds the layer whose tar fill writes. The media type, gzip or zstd,
// decides the compression; level is that of gzip.
func (w *Writer) Layer(mediaType string, level int, fill func(io.Writer) error) error {
	desc, diffID, err := w.blob(mediaType, level, fill)
	if err != nil {
		return fmt.Errorf("layer %d: %w", len(w.Manifest.Layers), err)
	}
	w.Manifest.Layers = append(w.Manifest.Layers, desc)
	w.Config.RootFS.DiffIDs = append(w.Config.RootFS.DiffIDs, diffID)
	w.Config.History = append(w.Config.History, ispec.History{Created: w.Config.Created, CreatedBy: "makeimage"})
	return nil
}

func (w *Writer) blob(mediaType string, level int, fill func(io.Writer) error) (ispec.Descriptor, digest.Digest, error) {
	desc := ispec.Descriptor{MediaType: mediaType}
	blob, err := os.CreateTemp(filepath.Join(w.dir, "blobs"), "layer")
	if err != nil {
		return desc, "", err
	}
	defer blob.Close()
	buffered := bufio.NewWriterSize(blob, 1<<20)
	sum := &counter{hash: sha256.New(), out: buffered}
	var packer io.WriteCloser
	if mediaType == ispec.MediaTypeImageLayerZstd {
		packer, err = zstd.NewWriter(sum, zstd.WithEncoderConcurrency(1))
	} else {
		packer, err = gzip.NewWriterLevel(sum, level)
	}
	if err != nil {
		return desc, "", err
	}
	plain := &counter{hash: sha256.New(), out: packer}
	if err := fill(plain); err != nil {
		return desc, "", err
	}
	if err := errors.Join(packer.Close(), buffered.Flush()); err != nil {
		return desc, "", err
	}
	desc.Size = sum.size
	desc.Digest = digest.NewDigest(digest.SHA256, sum.hash)
	err = errors.Join(blob.Chmod(0o644), os.Rename(blob.Name(), filepath.Join(w.dir, "blobs", "sha256", desc.Digest.Encoded())))
	return desc, digest.NewDigest(digest.SHA256, plain.hash), err
}

// Tag puts the image as it is now into the layout, under the tag.
func (w *Writer) Tag(tag string) error {
	config, err := w.putJSON(ispec.MediaTypeImageConfig, w.Config)
	if err != nil {
		return err
	}
	w.Manifest.Config = config
	desc, err := w.putJSON(w.Manifest.MediaType, w.Manifest)
	if err != nil {
		return err
	}
	desc.Annotations = map[string]string{ispec.AnnotationRefName: tag}
	w.index.Manifests = append(w.index.Manifests, desc)
	return nil
}

// Close writes what makes the directory a layout.
func (w *Writer) Close() error {
	data, err := json.Marshal(w.index)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(w.dir, "index.json"), data, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(w.dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644)
}

func (w *Writer) putJSON(mediaType string, v any) (ispec.Descriptor, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return ispec.Descriptor{}, err
	}
	d := digest.FromBytes(data)
	return ispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))},
		os.WriteFile(filepath.Join(w.dir, "blobs", "sha256", d.Encoded()), data, 0o644)
}

// counter hashes and counts what passes.
type counter struct {
	hash hash.Hash
	out  io.Writer
	size int64
}

func (c *counter) Write(p []byte) (int, error) {
	c.hash.Write(p)
	c.size += int64(len(p))
	return c.out.Write(p)
}
