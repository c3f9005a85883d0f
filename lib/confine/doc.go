// Package confine is the second wall around the handling of images: a process
// of its own, in a mount namespace in which everything but one directory is
// read-only. Where the first wall, the resolver of names, is broken, a write
// outside fails all the same.
//
//	parent                             child
//	Run ── /proc/self/exe, a word ──→  Serve: namespace, read-only mounts,
//	    ←─ messages, then a result ──  seccomp; then the work
//
// The work runs in a process that is started anew, since unshare(2) acts on
// one thread only, and a Go program has many. It is told what to do on its
// standard input, and answers on descriptor 3; it inherits nothing else.
//
// What it does not do: it does not keep the child from reading what the user
// may read.
package confine
