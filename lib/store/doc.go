// Package store is the cache of extracted layers on disk.
//
//	ROOT/lock                          shared by users, exclusive for eviction
//	ROOT/layers/sha256/HEX/            a layer as a directory in overlay form, or
//	ROOT/layers/sha256/HEX.erofs       the same as one file
//	ROOT/layers/sha256/HEX.json        what its archive left unsaid
//	ROOT/layers/sha256/HEX.lock        flock while the entry is made
//	ROOT/layers-FORM/…                 the same, for ids or attributes of another form
//	ROOT/roots/HEX                     symlinks to the bundles and layouts that use layers
//	ROOT/mounts/ID/                    bundles that were given no place of their own
//	ROOT/tmp/                          work in progress; readers never look here
//
// The entry of a layer is there when its directory or image file is there:
// it is renamed into place last, after its digest was verified and everything
// is on the disk. There is no database and no count of references. What is in
// use is read from the bundles, the layouts and the kernel's list of mounts;
// so a crash can leave nothing behind that contradicts them.
//
// The package does not know what is in a layer. Who extracts it, and into
// which form, is the caller's business.
package store
