package layer

import (
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// Compression is how the blob of a layer is packed.
type Compression string

// The compressions that layers come in.
const (
	None Compression = "none"
	Gzip Compression = "gzip"
	Zstd Compression = "zstd"
)

// layerTypes are the media types of layers, without the compression suffix
// that the OCI ones have (image-spec layer.md; Docker image manifest v2.2).
var layerTypes = []string{
	"application/vnd.oci.image.layer.v1.tar",
	"application/vnd.oci.image.layer.nondistributable.v1.tar",
	"application/vnd.docker.image.rootfs.diff.tar",
	"application/vnd.docker.image.rootfs.foreign.diff.tar",
}

// CompressionOf returns the compression that a media type promises. What is
// not known to be a layer is refused, never guessed (CVE-2022-24778).
func CompressionOf(mediaType string) (Compression, error) {
	for _, t := range layerTypes {
		suffix, ok := strings.CutPrefix(mediaType, t)
		if !ok {
			continue
		}
		switch suffix {
		case "":
			return None, nil
		case "+gzip", ".gzip":
			return Gzip, nil
		case "+zstd", ".zstd":
			return Zstd, nil
		case "+bzip2", "+xz":
			err := fault.Refused("layer media type %q: %s is not supported", mediaType, suffix[1:])
			return "", fault.Hint(err, "repack the image with gzip or zstd layers first")
		}
	}
	return "", fault.Refused("media type %q is not that of a layer", mediaType)
}

// sniff tells the compression by the first bytes of the blob. ok is false
// for a packing that is recognised but not supported; its name is returned.
func sniff(head []byte) (c Compression, name string, ok bool) {
	has := func(magic string) bool { return len(head) >= len(magic) && string(head[:len(magic)]) == magic }
	switch {
	case has("\x1f\x8b"):
		return Gzip, "gzip", true
	case has("\x28\xb5\x2f\xfd"):
		return Zstd, "zstd", true
	case len(head) >= 4 && head[0]&0xf0 == 0x50 && string(head[1:4]) == "\x2a\x4d\x18":
		// A skippable frame, which zstd:chunked and seekable zstd may begin with.
		return Zstd, "zstd", true
	case has("BZh"):
		return "", "bzip2", false
	case has("\xfd7zXZ\x00"):
		return "", "xz", false
	default:
		return None, "tar", true
	}
}
