// Package layer turns the changesets of an image into trees of files.
//
//	blob ─→ inflate ─┬─→ diffID
//	                 └─→ tar ─→ apply ─→ writers
//
// Unpack merges all layers into one tree; Extract makes one layer a directory
// that overlayfs can stack. Layers are inflated and hashed ahead of the one
// that is being applied, and files are written, and hashed for the manifest,
// while the archive is still being read.
//
// Everything in a layer was written by a stranger. Names are taken apart into
// components, symlinks among them are resolved in the tree that is kept in
// memory, and the kernel is only given single components below directories
// that are held open. A process that changes the tree meanwhile can make the
// run fail, but not lead it elsewhere.
//
// The caller keeps the tree from being seen before it is whole: on an error
// the directory holds what was made so far.
package layer
