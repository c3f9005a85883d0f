package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/types"

	"github.com/oci-plumbing/oci-plumbing/lib/durable"
)

// blobRoute is from where to where blobs can travel ahead of the library; not
// ok where only the library can carry them.
//
// Where signatures are concerned the library opens registries and directories
// itself, and what it opens lets all blobs come to their end before it tells
// that one has failed. But only manifests and signatures need it: the blobs, on
// which the policy has no say of its own, go by our own clients here, too.
func (j *job) blobRoute(ctx context.Context, srcSys, dstSys *types.SystemContext) (src blobSource, dst blobDestination, ok bool, err error) {
	src, fromOurs := j.source.(blobSource)
	dst, toOurs := j.destination.(blobDestination)
	if !fromOurs {
		if src, err = j.blobsBeside(ctx, srcSys); src == nil || err != nil {
			return nil, nil, false, err
		}
	}
	if !toOurs {
		if dst, err = j.blobsBelow(ctx, dstSys, fromOurs); dst == nil || err != nil {
			return nil, nil, false, err
		}
	}
	shareBlobs(src, dst)
	return src, dst, true, nil
}

// blobsBeside opens the blobs of a source that is the library's; nil where that
// alone knows how.
func (j *job) blobsBeside(ctx context.Context, sys *types.SystemContext) (blobSource, error) {
	switch r := j.src.ref.(type) {
	case *registryRef:
		raw, _, err := j.source.GetManifest(ctx, nil)
		if err != nil {
			return nil, err
		}
		// The tag may have moved since.
		top, err := manifest.Digest(raw)
		if err != nil {
			return nil, fmt.Errorf("digest of the manifest: %w", err)
		}
		exact, err := reference.WithDigest(reference.TrimNamed(r.named), top)
		if err != nil {
			return nil, fmt.Errorf("reference of the manifest: %w", err)
		}
		return (&registryRef{ImageReference: r.ImageReference, copier: r.copier, named: exact}).openFirst(ctx, sys)
	default:
		if j.src.transport == "dir" {
			return &dirSource{j.source, j.src.name}, nil
		}
		return nil, nil //nolint:nilnil // for the library, and no error
	}
}

// blobsBelow is where the blobs of a destination that is the library's can be
// put; nil where that alone knows how. Into a directory, the failures of our
// own sources are watched already.
func (j *job) blobsBelow(ctx context.Context, sys *types.SystemContext, fromOurs bool) (blobDestination, error) {
	switch r := j.dst.ref.(type) {
	case *registryRef:
		d, err := r.NewImageDestination(ctx, sys)
		if err != nil {
			return nil, err
		}
		blobs, _ := d.(blobDestination)
		return blobs, nil
	case *dirRef:
		if !fromOurs {
			return dirBlobs(r.stage.Path), nil
		}
	}
	return nil, nil //nolint:nilnil // for the library, and no error
}

// shareBlobs lets a registry mount blobs from one repository to another.
func shareBlobs(from, to any) {
	src, fromRegistry := from.(*registrySource)
	dst, toRegistry := to.(*registryDestination)
	if fromRegistry && toRegistry && src.client == dst.client && src.repository != dst.repository {
		dst.mountFrom = src.repository
	}
}

// dirBlobs are the blobs in a directory of the transport dir, to which the
// library adds the manifest and the signatures.
type dirBlobs string

// carries reports whether the library finds a blob that it did not store: with
// other digests it keeps a note.
func (dirBlobs) carries(d digest.Digest) bool { return d.Algorithm() == digest.Canonical }

func (d dirBlobs) path(desc ispec.Descriptor) string {
	return filepath.Join(string(d), desc.Digest.Encoded())
}

// hasBlob is part of blobDestination. The directory was made for this image.
func (d dirBlobs) hasBlob(_ context.Context, desc ispec.Descriptor) (bool, error) {
	_, err := os.Lstat(d.path(desc))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// putStream is part of streamDestination.
func (d dirBlobs) putStream(_ context.Context, desc ispec.Descriptor, verified io.Reader) error {
	err := durable.Replace(d.path(desc), func(f *os.File) error {
		return errors.Join(copyTo(f, verified), f.Chmod(0o644))
	})
	if err != nil {
		return fmt.Errorf("store blob %s: %w", desc.Digest, err)
	}
	return nil
}
