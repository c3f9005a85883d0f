package layer

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// finish sets the metadata of directories, each after everything below it:
// a new child changes the time, and a mode may lock its own maker out.
func (a *applier) finish(d *disk) error {
	if err := d.barrier(); err != nil {
		return err
	}
	return a.root.walk(nil, func(n *node) error {
		switch {
		case n.dir == nil:
			return nil
		case n.dir.existing && n.touched == never:
			return nil
		}
		h, err := d.open.open(n)
		if err != nil {
			return err
		}
		if err := d.describe(h.fd, n, a.opt.overlayNamespace()); err != nil {
			return fmt.Errorf("directory %s: %w", n.path(), err)
		}
		return d.failed()
	})
}

func (d *disk) describe(fd int, n *node, namespace string) error {
	if n.dir.existing && n.explicit == never {
		// It only received something: it keeps all but gets its time back.
		return setTimes(fd, n.ino.mtime)
	}
	if n.dir.existing {
		if err := clearXattrs(fd); err != nil {
			return err
		}
	}
	if err := d.setOwnerAndMode(fd, n.ino); err != nil {
		return err
	}
	set := func(name string, value []byte) error { return unix.Fsetxattr(fd, name, value, 0) }
	if err := d.setXattrs(n.ino, set); err != nil {
		return err
	}
	if n.dir.opaque {
		if err := eintr(func() error { return set(namespace+"opaque", []byte("y")) }); err != nil {
			return fmt.Errorf("mark it opaque: %w", err)
		}
	}
	if err := setTimes(fd, n.ino.mtime); err != nil {
		return err
	}
	return d.identify(n.ino, &d.identities, fd, "")
}

// clearXattrs removes the attributes of a directory that an entry describes
// anew, except what the host has set.
func clearXattrs(fd int) error {
	names := make([]byte, 64<<10)
	n, err := unix.Flistxattr(fd, names)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list xattrs: %w", err)
	}
	for _, name := range strings.Split(strings.TrimRight(string(names[:n]), "\x00"), "\x00") {
		if name == "" || name == "security.selinux" || name == "system.nfs4_acl" {
			continue
		}
		if err := unix.Fremovexattr(fd, name); err != nil && !tolerable(err) && !errors.Is(err, unix.ENODATA) {
			return fmt.Errorf("remove xattr %s: %w", name, err)
		}
	}
	return nil
}

// whiteouts makes the devices that hide names of lower layers. Below an
// opaque directory nothing is left to hide.
func (a *applier) whiteouts(d *disk) error {
	hidden := 0 // opaque directories around the node
	return a.root.walk(func(n *node) error {
		if n.dir != nil && n.dir.opaque {
			hidden++
		}
		if n.ino.kind != flagWhiteout || hidden > 0 {
			return nil
		}
		return d.leaf(n)
	}, func(n *node) error {
		if n.dir != nil && n.dir.opaque {
			hidden--
		}
		return nil
	})
}
