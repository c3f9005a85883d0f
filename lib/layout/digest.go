package layout

import (
	_ "crypto/sha256" // sha256 is the digest of nearly all images
	_ "crypto/sha512" // sha512 is legal, too (descriptor.md)
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// CheckDigest refuses all but well-formed sha256 and sha512 digests, the
// registered algorithms of image-spec descriptor.md, in lower case. It must
// come before a digest is split or made part of a path (CVE-2024-3727).
func CheckDigest(d digest.Digest) error {
	algorithm, sum, _ := strings.Cut(string(d), ":")
	lengths := map[string]int{"sha256": 64, "sha512": 128}
	if want := lengths[algorithm]; want == 0 || len(sum) != want || strings.Trim(sum, "0123456789abcdef") != "" {
		return fault.Refused("%.150q is not a valid sha256 or sha512 digest", string(d))
	}
	return nil
}
