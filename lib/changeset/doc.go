// Package changeset finds what changed in a root filesystem, and writes it as
// a layer: a tar archive in the changeset form of the image-spec (layer.md).
//
// It works in two passes. The first one compares and gives a Tree of changes:
// the upper directory of an overlay against its lowers, a rootfs against the
// mtree manifest it was unpacked with, or a directory against nothing. The
// second one writes the tree as tar. Between the two a caller may prune what
// must not be committed.
//
// The tree may belong to a stranger who changes it meanwhile. So every access
// is relative to a held directory descriptor and follows no link, and a file
// that is not the one that was compared is an error: no path of the tree, and
// no link in it, leads outside.
package changeset
