package transport

import "go.podman.io/storage/pkg/reexec"

// Reexec reports whether this process is a helper that the containers-storage
// transport has started, to unpack layers behind a chroot, and has done its
// work. It comes first in main.
func Reexec() bool { return reexec.Init() }
