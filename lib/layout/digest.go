package layout

import (
	_ "crypto/sha256" // sha256 is the digest of nearly all images
	_ "crypto/sha512" // sha512 is legal, too (descriptor.md)
	"regexp"

	"github.com/opencontainers/go-digest"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// digestGrammar are the registered algorithms of image-spec descriptor.md,
// lower case only.
var digestGrammar = regexp.MustCompile(`^(sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$`)

// CheckDigest refuses all but well-formed sha256 and sha512 digests. It must
// come before a digest is split or made part of a path (CVE-2024-3727).
func CheckDigest(d digest.Digest) error {
	if !digestGrammar.MatchString(string(d)) {
		return fault.Refused("%.150q is not a valid sha256 or sha512 digest", string(d))
	}
	return nil
}
