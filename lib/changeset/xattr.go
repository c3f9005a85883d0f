package changeset

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// hostXattrs are set by the host that a file lies on, not by the image.
var hostXattrs = map[string]bool{"security.selinux": true, "system.nfs4_acl": true}

// rootlessXattr holds the owner that a file of a rootless bundle has in the
// image (rootlesscontaine.rs; umoci and oci-unpack write it).
const rootlessXattr = "user.rootlesscontainers"

// xattrsAt reads the extended attributes of name in the directory dirfd,
// without those of the host. There is no system call for this that takes a
// directory before Linux 6.13, so the way leads through /proc; its last
// component is not followed.
func xattrsAt(dirfd int, name string) (map[string]string, error) {
	path := fmt.Sprintf("/proc/self/fd/%d/%s", dirfd, name)
	names, err := listXattrs(path)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	set := make(map[string]string, len(names))
	for _, key := range names {
		if hostXattrs[key] {
			continue
		}
		value, ok, err := getXattr(path, key)
		if err != nil {
			return nil, fmt.Errorf("read attribute %s: %w", key, err)
		}
		if ok {
			set[key] = value
		}
	}
	return set, nil
}

func listXattrs(path string) ([]string, error) {
	buf := make([]byte, 1024)
	for {
		n, err := retry(func() (int, error) { return unix.Llistxattr(path, buf) })
		switch {
		case errors.Is(err, unix.ERANGE):
			buf = make([]byte, 64<<10) // XATTR_LIST_MAX
		case errors.Is(err, unix.ENOTSUP):
			return nil, nil
		case err != nil:
			return nil, fmt.Errorf("list attributes: %w", err)
		case n == 0:
			return nil, nil
		default:
			return strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00"), nil
		}
	}
}

// getXattr returns false for an attribute that is gone, or that is listed but
// not ours to read (trusted.* in a user namespace).
func getXattr(path, key string) (string, bool, error) {
	buf := make([]byte, 256)
	for {
		n, err := retry(func() (int, error) { return unix.Lgetxattr(path, key, buf) })
		switch {
		case errors.Is(err, unix.ERANGE) && len(buf) < 64<<10:
			buf = make([]byte, 64<<10) // XATTR_SIZE_MAX
		case errors.Is(err, unix.ENODATA), errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.EPERM):
			return "", false, nil
		case err != nil:
			return "", false, err
		default:
			return string(buf[:n]), true, nil
		}
	}
}
