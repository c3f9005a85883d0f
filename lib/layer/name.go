package layer

import (
	"fmt"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

const (
	whiteoutPrefix = ".wh."
	whiteoutMeta   = ".wh..wh."
	opaqueMarker   = ".wh..wh..opq"
)

// splitName cuts the name of an entry into components and clamps it into the
// root: "/a", "../a" and "b/../a" are all "a". The result is empty for the
// root itself. The kernel never sees the archive's string.
func splitName(name string, into []string) ([]string, error) {
	parts := startOf(name, into)
	for rest := name; rest != ""; {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		switch {
		case part == "" || part == ".":
		case part == "..":
			parts = up(parts)
		case len(part) > maxComponent:
			return nil, fmt.Errorf("a component has %d bytes, more than %d", len(part), maxComponent)
		case len(parts) == maxDepth:
			return nil, fmt.Errorf("the path has more than %d components", maxDepth)
		default:
			parts = append(parts, part)
		}
	}
	return parts, nil
}

// marker is what a name says besides naming a file.
type marker int

const (
	plain    marker = iota
	whiteout        // removes the name behind the prefix
	opaque          // removes what lower layers have in its directory
	leftover        // bookkeeping of AUFS
)

// classify finds the markers of image-spec layer.md, "Representing Changes".
// For a whiteout it returns the one ordinary component that is left: never a
// path, and never the directory itself or its parent.
func classify(parts []string) (m marker, target string, err error) {
	for i, p := range parts {
		switch last := i == len(parts)-1; {
		case !strings.HasPrefix(p, whiteoutPrefix):
		case last && p == opaqueMarker:
			return opaque, "", nil
		case strings.HasPrefix(p, whiteoutMeta) && p != opaqueMarker:
			return leftover, "", nil
		case !last:
			return plain, "", fault.Refused("a component in the middle has the whiteout prefix %s", whiteoutPrefix)
		default:
			target := p[len(whiteoutPrefix):]
			if target == "" || target == "." || target == ".." {
				return plain, "", fault.Refused("the whiteout names %q, which is no file", target)
			}
			return whiteout, target, nil
		}
	}
	return plain, "", nil
}
