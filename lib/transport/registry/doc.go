// Package registry is a client of the OCI distribution-spec, for networks and
// servers that cannot be trusted.
//
// Credentials belong to one origin, that is scheme, host and port, and go
// nowhere else, wherever a challenge, a redirect or an upload points. No
// answer is read beyond what its kind allows. What may pass is tried again; a
// blob continues where it broke; a transfer that stands still is ended.
//
// The package knows nothing of the image library: it moves bytes and verifies
// them.
package registry
