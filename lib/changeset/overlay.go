package changeset

import (
	"maps"
	"strings"
)

// Names in a layer that delete (image-spec layer.md).
const (
	whiteoutPrefix = ".wh."
	opaqueMarker   = ".wh..wh..opq"
)

// overlayForm says in which namespaces overlayfs keeps its own attributes:
// "trusted.overlay." for a mount of root's, "user.overlay." with userxattr. An
// attribute of the other namespace is the image's.
type overlayForm []string

const (
	trustedOverlay = "trusted.overlay."
	userOverlay    = "user.overlay."
)

// imageXattrs are those of the image. A mount hides overlayfs's own. In a plain
// directory both namespaces are of some mount, for nobody unpacks them there:
// overlayfs would obey them as soon as the directory is a layer.
func (t *Tree) imageXattrs(xattrs map[string]string) map[string]string {
	switch {
	case t.merged:
		return xattrs
	case t.overlay != nil:
		return t.overlay.strip(xattrs)
	}
	out := maps.Clone(xattrs)
	maps.DeleteFunc(out, func(key, _ string) bool {
		return strings.HasPrefix(key, trustedOverlay) || strings.HasPrefix(key, userOverlay)
	})
	return out
}

// mark returns the value of overlayfs's own attribute name, such as "opaque".
func (f overlayForm) mark(xattrs map[string]string, name string) string {
	for _, prefix := range f {
		if v, ok := xattrs[prefix+name]; ok {
			if v == "" {
				return "y"
			}
			return v
		}
	}
	return ""
}

// strip removes overlayfs's own attributes, and turns the escaped ones, which
// came from the image, back (overlayfs.rst, "Nesting overlayfs mounts").
func (f overlayForm) strip(xattrs map[string]string) map[string]string {
	out := make(map[string]string, len(xattrs))
	for key, value := range xattrs {
		if name, ok := f.image(key); ok {
			out[name] = value
		}
	}
	return out
}

// image is the name an attribute has in the image; false for overlayfs's own.
func (f overlayForm) image(key string) (string, bool) {
	for _, prefix := range f {
		rest, ok := strings.CutPrefix(key, prefix)
		if !ok {
			continue
		}
		if inner, ok := strings.CutPrefix(rest, "overlay."); ok {
			return prefix + inner, true
		}
		return "", false
	}
	return key, true
}
