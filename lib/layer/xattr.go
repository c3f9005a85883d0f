package layer

import (
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
)

// The namespaces that give an attribute a meaning to overlayfs.
const (
	trustedOverlay = "trusted.overlay."
	userOverlay    = "user.overlay."
	// RootlessXattr holds the owner of the image where the file cannot.
	RootlessXattr = "user.rootlesscontainers"
)

// overlayNamespace is the one that the mount of an extracted layer reads.
func (o Options) overlayNamespace() string {
	if o.UserXattrs {
		return userOverlay
	}
	return trustedOverlay
}

// xattrs returns the attributes that the file gets. Those which the host
// sets, and those which would make overlayfs treat the file in a special
// way, never come from an image as they are.
func (a *applier) xattrs(e *entry) []xattr {
	if len(e.xattrs) == 0 {
		return nil
	}
	kept := make([]xattr, 0, len(e.xattrs))
	for _, x := range e.xattrs {
		switch {
		case x.name == "security.selinux" || x.name == "system.nfs4_acl":
			continue
		case strings.HasPrefix(x.name, trustedOverlay), strings.HasPrefix(x.name, userOverlay):
			escaped := a.escape(x.name)
			if escaped == "" {
				a.opt.Warn("%s: xattr %s is left out, since overlayfs would obey it", e.name, x.name)
				continue
			}
			x.name = escaped
		case x.name == RootlessXattr && a.opt.Rootless:
			a.opt.Warn("%s: xattr %s of the image is left out, since it would change the owner", e.name, x.name)
			continue
		case idmap.IsACL(x.name) && a.opt.Rootless && idmap.NamesIDs(x.value):
			a.opt.Warn("%s: xattr %s is left out, since an ordinary user can name no other", e.name, x.name)
			continue
		}
		kept = append(kept, x)
	}
	if len(kept) == 0 {
		return nil
	}
	return kept
}

// mapACLs gives the lists of the entry the host's ids, as its owner gets them.
func (o Options) mapACLs(e *entry) error {
	if len(o.UIDMap)+len(o.GIDMap) == 0 {
		return nil
	}
	for i, x := range e.xattrs {
		if !idmap.IsACL(x.name) {
			continue
		}
		mapped, err := idmap.MapACL(x.value, o.UIDMap.ToHost, o.GIDMap.ToHost)
		if err != nil {
			return fault.Refused("xattr %s: %w", x.name, err)
		}
		e.xattrs[i].value = mapped
	}
	return nil
}

// escape returns the name that overlayfs shows as name (Linux 6.7 and later),
// or "" where no mount would show it: in a merged tree, and in the namespace
// that the mount does not read.
func (a *applier) escape(name string) string {
	ns := a.opt.overlayNamespace()
	rest, ok := strings.CutPrefix(name, ns)
	if !ok || !a.overlay {
		return ""
	}
	return ns + "overlay." + rest
}

// rootlessOwner is the value of RootlessXattr: a protobuf message whose
// fields 1 and 2 are uid and gid, in which 2^32-1 stands for zero.
func rootlessOwner(uid, gid uint32) string {
	if uid == 0 && gid == 0 {
		return ""
	}
	var b []byte
	for field, id := range []uint32{uid, gid} {
		if id == 0 {
			id = 1<<32 - 1
		}
		b = append(b, byte(field+1)<<3)
		for ; id >= 0x80; id >>= 7 {
			b = append(b, byte(id)|0x80)
		}
		b = append(b, byte(id))
	}
	return string(b)
}
