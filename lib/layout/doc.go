// Package layout reads and writes OCI image layouts.
//
// Reading trusts nothing: a blob is opened only when it is a regular file of
// the size that its descriptor tells, and its digest is verified while it is
// read. Manifests, indexes and configs are bounded, strictly decoded, and must
// be what their descriptors say.
//
// Writing is safe among many processes, and against a kill or a full disk at
// any point: blobs appear whole, index.json changes under a lock and by rename,
// and a tag is durable when Tag returns. The lock is an flock on the layout's
// directory itself, which survives the renames and dies with its process.
package layout
