package layout

import ispec "github.com/opencontainers/image-spec/specs-go/v1"

// Docker's media types of image manifest version 2, schema 2, which mean the
// same as those of the image-spec (media-types.md, compatibility matrix).
const (
	DockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	DockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	DockerConfig   = "application/vnd.docker.container.image.v1+json"
)

// IsManifest reports whether the media type is that of an image manifest.
func IsManifest(mediaType string) bool {
	return mediaType == ispec.MediaTypeImageManifest || mediaType == DockerManifest
}

// IsIndex reports whether the media type is that of an index.
func IsIndex(mediaType string) bool {
	return mediaType == ispec.MediaTypeImageIndex || mediaType == DockerList
}

// isConfig reports whether the media type is that of an image config, rather
// than of some artifact's.
func isConfig(mediaType string) bool {
	return mediaType == ispec.MediaTypeImageConfig || mediaType == DockerConfig
}
