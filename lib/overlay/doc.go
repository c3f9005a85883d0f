// Package overlay stacks directories and erofs images with the kernel's
// overlay file system, and reads such stacks back.
//
// It uses the mount API of Linux 5.2 and later: fsopen, fsconfig, fsmount,
// move_mount. A mount is built detached, out of reach of every path, and put
// in its place only when it is complete. "lowerdir+" (Linux 6.7) takes one
// layer per call, so that 500 layers fit and no character of a path needs an
// escape; and the kernel says in words what it refuses. On kernels without it
// mount(2) is used, with what fits into its one page of options.
//
// The options that give an upper directory its meaning are always stated:
// redirect_dir, metacopy and index off, since distributions change the
// defaults of the module, and an upper that was written with redirects or
// metadata-only copies is not a changeset.
//
// The package knows nothing about images. What a layer may contain is checked
// by whoever extracts it; here only its own structure (whiteouts and opaque
// marks) is read, by descriptor and never through a symlink.
package overlay

// Source is the source that mountinfo shows for the mounts of this package,
// and the only mark by which they are found again.
const Source = "oci-mount"

// MaxLowers is the number of lower layers that the kernel accepts (OVL_MAX_STACK).
const MaxLowers = 500
