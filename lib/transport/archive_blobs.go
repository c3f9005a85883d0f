package transport

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/types"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// archiveBlobs serves blobs out of a tar archive. It is the part that OCI and
// Docker archives have in common.
type archiveBlobs struct {
	index *tarIndex
	// where finds the blob of a digest.
	where func(digest.Digest) (tarEntry, bool)
}

// Close closes the archive.
func (a *archiveBlobs) Close() error { return a.index.file.Close() }

// HasThreadSafeGetBlob is true: each reader has an offset of its own.
func (a *archiveBlobs) HasThreadSafeGetBlob() bool { return true }

// GetSignatures returns none: archives hold none.
func (a *archiveBlobs) GetSignatures(context.Context, *digest.Digest) ([][]byte, error) {
	return nil, nil
}

// LayerInfosForCopy leaves the layers as the manifest has them.
func (a *archiveBlobs) LayerInfosForCopy(context.Context, *digest.Digest) ([]types.BlobInfo, error) {
	return nil, nil
}

// GetBlob opens a blob that verifies itself.
func (a *archiveBlobs) GetBlob(ctx context.Context, info types.BlobInfo, _ types.BlobInfoCache) (io.ReadCloser, int64, error) {
	entry, ok := a.where(info.Digest)
	if !ok {
		return nil, 0, fault.NotFound("blob %s is not in the archive", info.Digest)
	}
	r, err := a.openBlob(ctx, ispec.Descriptor{Digest: info.Digest, Size: entry.size})
	return r, entry.size, err
}

func (a *archiveBlobs) entry(desc ispec.Descriptor) (tarEntry, error) {
	entry, ok := a.where(desc.Digest)
	switch {
	case !ok:
		return entry, fault.NotFound("blob %s is not in the archive", desc.Digest)
	case entry.size != desc.Size:
		return entry, fault.Refused("blob %s has %d bytes in the archive, its descriptor says %d", desc.Digest, entry.size, desc.Size)
	default:
		return entry, nil
	}
}

// openBlob is part of blobSource.
func (a *archiveBlobs) openBlob(ctx context.Context, desc ispec.Descriptor) (io.ReadCloser, error) {
	entry, err := a.entry(desc)
	if err != nil {
		return nil, err
	}
	section := io.NewSectionReader(a.index.file, entry.offset, entry.size)
	return io.NopCloser(newVerifier(&contextReader{ctx, section}, desc)), nil
}

// openSection is part of sectionSource.
func (a *archiveBlobs) openSection(desc ispec.Descriptor) (*os.File, int64, error) {
	entry, err := a.entry(desc)
	if err != nil {
		return nil, 0, err
	}
	f, err := a.index.dup()
	return f, entry.offset, err
}

// verifier hashes a stream of known size and digest; the wrong bytes end with
// a refusal in place of io.EOF.
type verifier struct {
	r    io.Reader
	desc ispec.Descriptor
	hash hash.Hash
	left int64
}

func newVerifier(r io.Reader, desc ispec.Descriptor) *verifier {
	return &verifier{r: r, desc: desc, hash: desc.Digest.Algorithm().Hash(), left: desc.Size}
}

func (v *verifier) Read(p []byte) (int, error) {
	n, err := v.r.Read(p)
	v.hash.Write(p[:n])
	if v.left -= int64(n); v.left < 0 {
		return 0, fault.Refused("blob %s is longer than the %d bytes of its descriptor", v.desc.Digest, v.desc.Size)
	}
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	if v.left > 0 {
		return n, fault.Refused("blob %s ends %d bytes before its descriptor's size %d", v.desc.Digest, v.left, v.desc.Size)
	}
	if got := digest.NewDigest(v.desc.Digest.Algorithm(), v.hash); got != v.desc.Digest {
		return n, fault.Refused("blob %s has the digest %s: it is damaged or forged", v.desc.Digest, got)
	}
	return n, io.EOF
}

// verified checks a whole document.
func verified(data []byte, d digest.Digest) ([]byte, error) {
	if err := d.Validate(); err != nil {
		return nil, fault.Refused("%.150q is not a valid digest", string(d))
	}
	if got := d.Algorithm().FromBytes(data); got != d {
		return nil, fmt.Errorf("manifest: %w", fault.Refused("%s has the digest %s: it is damaged or forged", d, got))
	}
	return data, nil
}
