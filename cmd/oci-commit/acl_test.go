package main

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/internal/testimage"
)

const aclAccess = "system.posix_acl_access"

// userACL is the list of a file 0644 with one named user and one named group.
func userACL(user, group uint32) string {
	const none = 1<<32 - 1
	raw := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range [][3]uint32{{1, 6, none}, {2, 4, user}, {4, 4, none}, {8, 4, group}, {16, 4, none}, {32, 4, none}} {
		raw = binary.LittleEndian.AppendUint16(raw, uint16(e[0]))
		raw = binary.LittleEndian.AppendUint16(raw, uint16(e[1]))
		raw = binary.LittleEndian.AppendUint32(raw, e[2])
	}
	return string(raw)
}

func aclOf(t *testing.T, path string) string {
	t.Helper()
	value := make([]byte, 1024)
	n, err := unix.Lgetxattr(path, aclAccess, value)
	must(t, err)
	return string(value[:n])
}

// With id maps the named users and groups of ACLs are the host's in the bundle
// and the image's in the image, on both ways.
func TestACLsAreMapped(t *testing.T) {
	needRoot(t)
	work := t.TempDir()
	probe := filepath.Join(work, "probe")
	must(t, os.WriteFile(probe, nil, 0o644))
	if err := unix.Lsetxattr(probe, aclAccess, []byte(userACL(1, 2)), 0); errors.Is(err, unix.EOPNOTSUPP) {
		t.Skip("needs a file system with ACLs below " + work)
	}
	layout, bundle := filepath.Join(work, "img"), filepath.Join(work, "b")
	writeImage(t, layout, nil, []testimage.Entry{testimage.Dir("."), testimage.File("shared", "x", testimage.Xattr(aclAccess, userACL(5, 6)))})
	maps := []string{"--uid-map", "0:100000:1000", "--gid-map", "0:200000:1000"}
	runOut(t, tool(t, "oci-unpack"), append(maps, "oci:"+layout+":base", bundle)...)
	shared := filepath.Join(bundle, "rootfs", "shared")
	if got, want := aclOf(t, shared), userACL(100005, 200006); got != want {
		t.Errorf("in the bundle: %x, want %x", got, want)
	}
	if r := runCommit(t, "--diff", bundle); r.stdout != "" || r.status != 0 {
		t.Errorf("oci-commit --diff of a new bundle: %q %s", r.stdout, r.stderr)
	}
	must(t, os.WriteFile(shared, []byte("changed"), 0o644))
	must(t, unix.Lsetxattr(shared, aclAccess, []byte(userACL(100007, 200008)), 0))
	mustCommit(t, bundle, "oci:"+layout+":new")
	again := filepath.Join(work, "again")
	runOut(t, tool(t, "oci-unpack"), "oci:"+layout+":new", again)
	if got, want := aclOf(t, filepath.Join(again, "rootfs", "shared")), userACL(7, 8); got != want {
		t.Errorf("in the image: %x, want %x", got, want)
	}
	must(t, unix.Lsetxattr(shared, aclAccess, []byte(userACL(7, 8)), 0))
	if r := runCommit(t, bundle, "oci:"+layout+":bad"); r.status == 0 {
		t.Error("oci-commit took an ACL for a host's id that no id of the image stands for")
	}
}
