// Package mtree records a tree of files as a BSD mtree manifest, and compares
// a tree with one.
//
// The text is mtree(5) as go-mtree and gomtree read it: names encoded by
// vis(3), whole seconds in tar_time, SHA-256 digests of contents, and the
// values of extended attributes in base64. It holds no comment, no date and
// nothing that depends on the file system (sizes and link counts of
// directories), so that the manifest of an image is the same bytes each time.
package mtree
