package transport

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/image"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/types"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
)

// archiveRef is an image in an archive file or stream, OCI's or Docker's.
type archiveRef struct {
	types.ImageReference
	copier *Copier
	// path is that of the archive, "-" for standard input or output.
	path string
	// name is what stands behind the path: a tag, @INDEX, or nothing.
	name string
	kind archiveKind
	// out is set once the archive has been opened for writing.
	out *archiveOutput
}

type archiveKind int

const (
	ociArchive archiveKind = iota
	dockerArchive
)

// newArchiveRef reads PATH[:NAME]. The library's reference below answers what
// the policy asks; for a stream, whose path it would take for a file, it gets
// /dev/stdin or /dev/stdout.
func (c *Copier) newArchiveRef(transport types.ImageTransport, kind archiveKind, s string, end side) (*archiveRef, error) {
	r := &archiveRef{copier: c, kind: kind}
	var hasName bool
	r.path, r.name, hasName = strings.Cut(s, ":")
	asked := r.path
	switch {
	case r.path == "":
		return nil, fault.Usage("the archive has no path")
	case end == source && (r.path == "-" || slices.Contains(stdin, r.path)):
		r.path, asked = "-", "/dev/stdin"
	case end == destination && (r.path == "-" || slices.Contains(stdout, r.path)):
		r.path, asked = "-", "/dev/stdout"
	}
	if hasName {
		asked += ":" + r.name
	}
	var err error
	if info, statErr := os.Stat(cutName(asked)); kind == ociArchive && statErr == nil && !info.Mode().IsRegular() {
		r.ImageReference = pipeReference{transport, cutName(asked)}
	} else {
		r.ImageReference, err = transport.ParseReference(asked)
	}
	return r, err
}

// IsStream reports whether a reference is of an archive on standard input or
// output.
func IsStream(s string) bool {
	transport, name := cutTransport(s)
	path := cutName(name)
	return (transport == "oci-archive" || transport == "docker-archive") && (path == "-" || slices.Contains(stdin, path) || slices.Contains(stdout, path))
}

// stdin and stdout are the other names of standard input and output.
var (
	stdin  = []string{"/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"}
	stdout = []string{"/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"}
)

func cutName(s string) string {
	path, _, _ := strings.Cut(s, ":")
	return path
}

// pipeReference answers what the signature policy asks about an archive in a
// pipe: the library tries to resolve the path, which a pipe has none of.
type pipeReference struct {
	transport types.ImageTransport
	path      string
}

func (r pipeReference) Transport() types.ImageTransport         { return r.transport }
func (r pipeReference) StringWithinTransport() string           { return r.path }
func (r pipeReference) DockerReference() reference.Named        { return nil }
func (r pipeReference) PolicyConfigurationIdentity() string     { return r.path }
func (r pipeReference) PolicyConfigurationNamespaces() []string { return nil }

func (r pipeReference) NewImage(context.Context, *types.SystemContext) (types.ImageCloser, error) {
	return nil, r.closed()
}

func (r pipeReference) NewImageSource(context.Context, *types.SystemContext) (types.ImageSource, error) {
	return nil, r.closed()
}

func (r pipeReference) NewImageDestination(context.Context, *types.SystemContext) (types.ImageDestination, error) {
	return nil, r.closed()
}

func (r pipeReference) DeleteImage(context.Context, *types.SystemContext) error { return r.closed() }

func (r pipeReference) closed() error { return fmt.Errorf("%s is a pipe", r.path) }

// NewImage opens the image for reading.
func (r *archiveRef) NewImage(ctx context.Context, sys *types.SystemContext) (types.ImageCloser, error) {
	src, err := r.NewImageSource(ctx, sys)
	if err != nil {
		return nil, err
	}
	return image.FromSource(ctx, sys, src)
}

// NewImageSource opens the archive for reading.
func (r *archiveRef) NewImageSource(ctx context.Context, _ *types.SystemContext) (types.ImageSource, error) {
	index, err := r.copier.openArchive(ctx, r.path)
	if err != nil {
		return nil, err
	}
	var src types.ImageSource
	if r.kind == ociArchive {
		src, err = r.openOCI(index)
	} else {
		src, err = r.openDocker(ctx, index)
	}
	if err != nil {
		_ = index.file.Close()
		return nil, fmt.Errorf("archive %s: %w", r.path, err)
	}
	return src, nil
}

// ociArchiveSource reads an image from an OCI layout in a tar archive.
type ociArchiveSource struct {
	*archiveBlobs
	ref *archiveRef
	top ispec.Descriptor
}

func (r *archiveRef) openOCI(index *tarIndex) (*ociArchiveSource, error) {
	if _, ok := index.find("index.json"); !ok {
		if _, isDocker := index.find("manifest.json"); isDocker {
			return nil, fault.Hint(fault.Refused("it is a Docker archive: it has manifest.json and no index.json"), "read it as docker-archive:%s", r.path)
		}
		return nil, fault.Refused("it is no OCI archive: it has no index.json")
	}
	raw, err := index.document("index.json")
	if err != nil {
		return nil, err
	}
	list, err := decodeIndex(raw)
	if err != nil {
		return nil, fmt.Errorf("index.json: %w", err)
	}
	top, err := findTag(list, r.name)
	if err != nil {
		return nil, err
	}
	blobs := &archiveBlobs{index: index, where: func(d digest.Digest) (tarEntry, bool) {
		if layout.CheckDigest(d) != nil {
			return tarEntry{}, false
		}
		return index.find("blobs/" + d.Algorithm().String() + "/" + d.Encoded())
	}}
	return &ociArchiveSource{archiveBlobs: blobs, ref: r, top: top}, nil
}

// findTag finds the descriptor that a name stands for: a tag, @POSITION, or,
// when there is only one, nothing.
func findTag(list *ispec.Index, name string) (ispec.Descriptor, error) {
	if at, ok := strings.CutPrefix(name, "@"); ok {
		n, err := strconv.Atoi(at)
		if err != nil || n < 0 || n >= len(list.Manifests) {
			return ispec.Descriptor{}, fault.NotFound("no image %s, there are %d", name, len(list.Manifests))
		}
		return list.Manifests[n], layout.CheckDigest(list.Manifests[n].Digest)
	}
	var there []string
	for _, desc := range list.Manifests {
		tag := desc.Annotations[ispec.AnnotationRefName]
		if name != "" && tag == name || name == "" && len(list.Manifests) == 1 {
			return desc, layout.CheckDigest(desc.Digest)
		}
		if tag != "" && !slices.Contains(there, tag) {
			there = append(there, tag)
		}
	}
	if name == "" {
		return ispec.Descriptor{}, fault.Usage("it holds %d images, choose one: %s", len(list.Manifests), listed(there))
	}
	return ispec.Descriptor{}, fault.NotFound("no tag %q, there is %s", name, listed(there))
}

// listed joins names for a message.
func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// Reference is what was asked for.
func (s *ociArchiveSource) Reference() types.ImageReference { return s.ref }

// GetManifest reads and verifies the top manifest, or that of an instance.
func (s *ociArchiveSource) GetManifest(_ context.Context, instance *digest.Digest) ([]byte, string, error) {
	d, mediaType := s.top.Digest, s.top.MediaType
	if instance != nil {
		if err := layout.CheckDigest(*instance); err != nil {
			return nil, "", err
		}
		d, mediaType = *instance, ""
	}
	raw, err := s.index.document("blobs/" + d.Algorithm().String() + "/" + d.Encoded())
	if err == nil {
		raw, err = verified(raw, d)
	}
	if mediaType == "" {
		mediaType = manifest.GuessMIMEType(raw)
	}
	return raw, mediaType, err
}
