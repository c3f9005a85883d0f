package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/internal/testimage"
)

// epoch is later than all of the base image and earlier than the tests, so
// that it clamps the times of all that they touch.
const epoch = 1_500_000_000

// baseImage has of each kind something to be changed, in two layers.
func baseImage() [][]testimage.Entry {
	return [][]testimage.Entry{
		{
			testimage.Dir("."), testimage.Dir("etc"), testimage.File("etc/passwd", "root:x:0:0::/:/bin/sh\n"), testimage.File("etc/doomed", "x"), testimage.File("etc/empty", ""),
			testimage.Dir("etc/conf.d"), testimage.File("etc/conf.d/a", "a"), testimage.File("etc/conf.d/b", "b"),
			testimage.Dir("usr"), testimage.Dir("usr/bin"), testimage.File("usr/bin/tool", "#!tool", testimage.Mode(0o755)),
			testimage.File("usr/bin/setuid", "s", testimage.Mode(0o4755), testimage.Owner(7, 8)),
			testimage.Symlink("bin", "usr/bin"), testimage.Symlink("usr/bin/sh", "tool"), testimage.Symlink("dangling", "/no/where"),
			testimage.Dir("tmp", testimage.Mode(0o1777)), testimage.Dir("root", testimage.Mode(0o700)),
			testimage.Dir("deep"), testimage.Dir("deep/1"), testimage.Dir("deep/1/2"), testimage.Dir("deep/1/2/3"), testimage.File("deep/1/2/3/leaf", "leaf"), testimage.File("deep/1/2/other", "o"),
			testimage.File("link1", "linked"), testimage.Hardlink("link2", "link1"), testimage.Hardlink("deep/link3", "link1"),
			testimage.File("attr", "a", testimage.Xattr("user.one", "1"), testimage.Xattr("user.two", "2")),
			testimage.Dir("attrdir", testimage.Xattr("user.dir", "d")),
			testimage.Fifo("fifo"), testimage.Char("null", 1, 3), testimage.Block("disk", 128, 42),
			testimage.File("data", strings.Repeat("0123456789abcdef", 8192)),
		},
		{
			testimage.Dir("opt"), testimage.File("opt/second", "2"), testimage.File("etc/.wh.doomed", ""), testimage.File("etc/conf.d/b", "b of the second layer"),
			testimage.Dir("deep"), testimage.Dir("deep/1"), testimage.File("deep/1/new", "n"),
		},
	}
}

// kindOfChange is one kind of change. It is made by plain calls in the rootfs.
type kindOfChange struct {
	name   string
	change func(r rootfs)
	// differs tells that the two routes rightly give different layers.
	differs bool
	// loses tells that not all of it can be held by a layer.
	loses bool
}

func TestRoundTrip(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	layout := filepath.Join(dir, "img")
	writeImage(t, layout, nil, baseImage()...)
	t.Setenv("SOURCE_DATE_EPOCH", strconv.Itoa(epoch))
	if len(kinds) < 60 {
		t.Errorf("%d kinds of change, want at least 60", len(kinds))
	}
	for i, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			work := t.TempDir()
			tag := fmt.Sprintf("k%d", i)
			unpacked := filepath.Join(work, "unpacked")
			runOut(t, tool(t, "oci-unpack"), "oci:"+layout+":base", unpacked)
			mounted := filepath.Join(work, "mounted")
			// On layers in erofs images the kernel refuses to set ACLs.
			runOut(t, tool(t, "oci-mount"), "--layer-format", "dir", "--root", filepath.Join(dir, "root"), "oci:"+layout+":base", mounted)
			t.Cleanup(func() { runOut(t, tool(t, "oci-mount"), "--root", filepath.Join(dir, "root"), "--rm", mounted) })
			layers := make(map[string]string)
			for route, bundle := range map[string]string{"unpack": unpacked, "mount": mounted} {
				root := filepath.Join(bundle, "rootfs")
				k.change(rootfs{t, root})
				want := describeTree(t, root, epoch)
				mustCommit(t, bundle, "oci:"+layout+":"+tag+route)
				again := filepath.Join(work, "again-"+route)
				runOut(t, tool(t, "oci-unpack"), "oci:"+layout+":"+tag+route, again)
				got := describeTree(t, filepath.Join(again, "rootfs"), epoch)
				if route == "mount" {
					// Overlayfs may show two inodes for a file that was
					// copied up to be linked; that the layer has the
					// link shows when the layers are compared.
					forgetLinks(got)
					forgetLinks(want)
				}
				if !k.loses {
					compareTrees(t, route, got, want)
				}
				layers[route] = strings.Join(diffIDs(t, layout, tag+route), "\n")
				if rest := runCommit(t, "--diff", bundle).stdout; rest != "" {
					t.Errorf("%s: after the commit there is still\n%s", route, rest)
				}
			}
			if !k.differs && layers["unpack"] != layers["mount"] {
				t.Errorf("the layers differ by route:\n%s\n\n%s", layers["unpack"], layers["mount"])
			}
		})
	}
}

// forgetLinks leaves out which names belong to one inode.
func forgetLinks(tree map[string]string) {
	for path, text := range tree {
		tree[path], _, _ = strings.Cut(text, " linked to ")
	}
}

// diffIDs lists those of an image.
func diffIDs(t testing.TB, layout, tag string) []string {
	t.Helper()
	_, config := readImage(t, layout, tag)
	ids := make([]string, len(config.RootFS.DiffIDs))
	for i, id := range config.RootFS.DiffIDs {
		ids[i] = id.String()
	}
	return ids
}

// readImage reads the documents of an image by plain calls.
func readImage(t testing.TB, layout, tag string) (ispec.Manifest, ispec.Image) {
	t.Helper()
	var index ispec.Index
	var manifest ispec.Manifest
	var config ispec.Image
	readJSON(t, filepath.Join(layout, "index.json"), &index)
	for _, d := range index.Manifests {
		if d.Annotations[ispec.AnnotationRefName] == tag {
			readJSON(t, filepath.Join(layout, "blobs/sha256", d.Digest.Encoded()), &manifest)
			readJSON(t, filepath.Join(layout, "blobs/sha256", manifest.Config.Digest.Encoded()), &config)
			return manifest, config
		}
	}
	t.Fatalf("no tag %s in %s", tag, layout)
	return manifest, config
}

func readJSON(t testing.TB, path string, v any) {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	must(t, json.Unmarshal(data, v))
}

// rootfs makes changes.
type rootfs struct {
	t   *testing.T
	dir string
}

func (r rootfs) path(name string) string { return filepath.Join(r.dir, name) }
func (r rootfs) do(err error)            { r.t.Helper(); must(r.t, err) }
func (r rootfs) write(name, content string) {
	r.t.Helper()
	r.do(os.WriteFile(r.path(name), []byte(content), 0o644))
}
func (r rootfs) mkdir(name string)        { r.t.Helper(); r.do(os.MkdirAll(r.path(name), 0o755)) }
func (r rootfs) remove(name string)       { r.t.Helper(); r.do(os.RemoveAll(r.path(name))) }
func (r rootfs) symlink(target, n string) { r.t.Helper(); r.do(os.Symlink(target, r.path(n))) }
func (r rootfs) link(old, n string)       { r.t.Helper(); r.do(os.Link(r.path(old), r.path(n))) }
func (r rootfs) chmod(n string, mode uint32) {
	r.t.Helper()
	r.do(unix.Chmod(r.path(n), mode))
}
func (r rootfs) chown(n string, uid, gid int) { r.t.Helper(); r.do(os.Lchown(r.path(n), uid, gid)) }
func (r rootfs) setxattr(n, key, value string) {
	r.t.Helper()
	r.do(unix.Lsetxattr(r.path(n), key, []byte(value), 0))
}

func (r rootfs) mknod(n string, mode, major, minor uint32) {
	r.t.Helper()
	r.do(unix.Mknod(r.path(n), mode, int(unix.Mkdev(major, minor))))
}

func (r rootfs) touch(n string, seconds int64) {
	r.t.Helper()
	at := unix.NsecToTimespec(time.Unix(seconds, 0).UnixNano())
	r.do(unix.UtimesNanoAt(unix.AT_FDCWD, r.path(n), []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW))
}

// mv moves as people do: by copying where the mount does not rename.
func (r rootfs) mv(from, to string) { r.t.Helper(); runOut(r.t, "mv", r.path(from), r.path(to)) }

// capability is cap_net_raw+ep of revision 2 or, with a root, 3.
func capability(root uint32) string {
	magic := uint32(0x02000001)
	if root != 0 {
		magic = 0x03000001
	}
	raw := binary.LittleEndian.AppendUint32(nil, magic)
	for _, word := range []uint32{1 << 13, 0, 0, 0} {
		raw = binary.LittleEndian.AppendUint32(raw, word)
	}
	if root != 0 {
		raw = binary.LittleEndian.AppendUint32(raw, root)
	}
	return string(raw)
}

// acl is a POSIX ACL in the form of the kernel: version 2, and its entries.
func acl() string {
	raw := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range [][3]uint32{{1, 6, 0xffffffff}, {2, 4, 1000}, {4, 4, 0xffffffff}, {0x10, 4, 0xffffffff}, {0x20, 4, 0xffffffff}} {
		raw = binary.LittleEndian.AppendUint16(raw, uint16(e[0]))
		raw = binary.LittleEndian.AppendUint16(raw, uint16(e[1]))
		raw = binary.LittleEndian.AppendUint32(raw, e[2])
	}
	return string(raw)
}

var kinds = []kindOfChange{
	{name: "nothing", change: func(rootfs) {}},
	{name: "new file", change: func(r rootfs) { r.write("etc/new", "new") }},
	{name: "new file at the top", change: func(r rootfs) { r.write("new", "new") }},
	{name: "new empty file", change: func(r rootfs) { r.write("etc/zero", "") }},
	{name: "file of 512 bytes", change: func(r rootfs) { r.write("block", strings.Repeat("b", 512)) }},
	{name: "file of 513 bytes", change: func(r rootfs) { r.write("block", strings.Repeat("b", 513)) }},
	{name: "file of 3 MB", change: func(r rootfs) { r.write("big", strings.Repeat("0123456789", 300_000)) }},
	{name: "changed content", change: func(r rootfs) { r.write("etc/passwd", "changed") }},
	{name: "emptied file", change: func(r rootfs) { r.write("etc/passwd", "") }},
	{name: "appended", change: func(r rootfs) {
		f, err := os.OpenFile(r.path("data"), os.O_APPEND|os.O_WRONLY, 0)
		r.do(err)
		_, err = f.WriteString("more")
		r.do(err)
		r.do(f.Close())
	}},
	{name: "content changed, size and time restored", change: func(r rootfs) {
		r.write("etc/passwd", "ROOT:X:0:0::/:/bin/sh\n")
		r.touch("etc/passwd", stamp)
	}},
	{name: "changed in the second layer", change: func(r rootfs) { r.write("opt/second", "two") }},
	{name: "mode", change: func(r rootfs) { r.chmod("etc/passwd", 0o600) }},
	{name: "mode 0000", change: func(r rootfs) { r.chmod("etc/passwd", 0) }},
	{name: "setuid set", change: func(r rootfs) { r.chmod("usr/bin/tool", 0o6755) }},
	{name: "setuid cleared", change: func(r rootfs) { r.chmod("usr/bin/setuid", 0o755) }},
	{name: "owner", change: func(r rootfs) { r.chown("etc/passwd", 1000, 1001) }},
	{name: "huge owner", change: func(r rootfs) { r.chown("etc/passwd", 4_000_000_000, 4_000_000_001) }},
	{name: "owner of a link", change: func(r rootfs) { r.chown("dangling", 5, 6) }},
	{name: "owner of setuid", change: func(r rootfs) { r.chown("usr/bin/setuid", 9, 9); r.chmod("usr/bin/setuid", 0o4755) }},
	{name: "time", change: func(r rootfs) { r.touch("etc/passwd", 1_200_000_000) }},
	{name: "time before 1970", change: func(r rootfs) { r.touch("etc/passwd", -5) }},
	{name: "time of a link", change: func(r rootfs) { r.touch("dangling", 1_222_222_222) }},
	{name: "time of a directory", change: func(r rootfs) { r.touch("deep/1/2", 1_200_000_000) }},
	{name: "mode of a directory", change: func(r rootfs) { r.chmod("deep/1/2", 0o2750) }},
	{name: "directory of mode 0000", change: func(r rootfs) { r.chmod("deep/1/2", 0) }},
	{name: "mode of the root", change: func(r rootfs) { r.chmod(".", 0o751) }},
	{name: "owner of the root", change: func(r rootfs) { r.chown(".", 3, 4) }},
	{name: "sticky bit", change: func(r rootfs) { r.chmod("tmp", 0o777) }},
	{name: "new directory", change: func(r rootfs) { r.mkdir("newdir") }},
	{name: "new tree", change: func(r rootfs) { r.mkdir("a/b/c/d"); r.write("a/b/c/d/f", "f"); r.write("a/b/x", "x") }},
	{name: "deleted file", change: func(r rootfs) { r.remove("etc/passwd") }},
	{name: "deleted from the second layer", change: func(r rootfs) { r.remove("opt/second") }},
	{name: "deleted tree", change: func(r rootfs) { r.remove("deep") }},
	{name: "deleted in nested order", change: func(r rootfs) {
		r.remove("deep/1/2/3/leaf")
		r.remove("deep/1/2/3")
		r.remove("deep/1/2")
		r.remove("deep/1")
	}},
	{name: "deleted link, its target kept", change: func(r rootfs) { r.remove("bin") }},
	{name: "ten deletions", change: func(r rootfs) {
		for _, n := range []string{"etc/passwd", "etc/empty", "etc/conf.d/a", "etc/conf.d/b", "usr/bin/tool", "usr/bin/sh", "data", "attr", "fifo", "null"} {
			r.remove(n)
		}
	}},
	{name: "made and deleted", change: func(r rootfs) {
		r.write("etc/brief", "x")
		r.remove("etc/brief")
		r.touch("etc", stamp)
	}},
	{name: "deleted and made again", change: func(r rootfs) { r.remove("etc/passwd"); r.write("etc/passwd", "new") }},
	{name: "emptied directory", change: func(r rootfs) { r.remove("etc/conf.d/a"); r.remove("etc/conf.d/b") }},
	{name: "directory deleted and made again", differs: true, change: func(r rootfs) {
		r.remove("deep/1")
		r.mkdir("deep/1")
		r.write("deep/1/only", "x")
	}},
	{name: "directory deleted and made again, empty", differs: true, change: func(r rootfs) { r.remove("etc/conf.d"); r.mkdir("etc/conf.d") }},
	{name: "file to directory", change: func(r rootfs) { r.remove("etc/passwd"); r.mkdir("etc/passwd"); r.write("etc/passwd/f", "f") }},
	{name: "directory to file", change: func(r rootfs) { r.remove("deep"); r.write("deep", "a file") }},
	{name: "directory to link", change: func(r rootfs) { r.remove("deep"); r.symlink("etc", "deep") }},
	{name: "link to directory", change: func(r rootfs) { r.remove("bin"); r.mkdir("bin"); r.write("bin/x", "x") }},
	{name: "link to file", change: func(r rootfs) { r.remove("bin"); r.write("bin", "x") }},
	{name: "file to link", change: func(r rootfs) { r.remove("etc/passwd"); r.symlink("../data", "etc/passwd") }},
	{name: "file to fifo", change: func(r rootfs) { r.remove("etc/passwd"); r.mknod("etc/passwd", unix.S_IFIFO|0o600, 0, 0) }},
	{name: "device to file", change: func(r rootfs) { r.remove("null"); r.write("null", "x") }},
	{name: "new link", change: func(r rootfs) { r.symlink("../somewhere", "etc/ln") }},
	{name: "new link with an odd target", change: func(r rootfs) { r.symlink("a \\really //weird _00..:=path ", "etc/ln") }},
	{name: "link with another target", change: func(r rootfs) { r.remove("bin"); r.symlink("sbin", "bin") }},
	{name: "link with a target of 4,000 bytes", change: func(r rootfs) { r.symlink(strings.Repeat("abcdefgh/", 444)[:3995], "long") }},
	{name: "new hard links", change: func(r rootfs) { r.write("h1", "h"); r.link("h1", "h2"); r.link("h2", "etc/h3") }},
	{name: "hard link to an old file", change: func(r rootfs) { r.link("etc/passwd", "etc/passwd2") }},
	{name: "hard link to a symbolic link", change: func(r rootfs) { r.link("dangling", "dangling2") }},
	{name: "one of several links deleted", differs: true, change: func(r rootfs) { r.remove("link2") }},
	{name: "links by name of linked files", differs: true, loses: true, change: func(r rootfs) { r.link("link1", "link4") }},
	{name: "content of linked files", differs: true, loses: true, change: func(r rootfs) { r.write("link1", "changed") }},
	{name: "fifo", change: func(r rootfs) { r.mknod("etc/pipe", unix.S_IFIFO|0o640, 0, 0) }},
	{name: "devices", change: func(r rootfs) {
		r.mknod("b1", unix.S_IFBLK|0o600, 128, 42)
		r.mknod("b2", unix.S_IFBLK|0o600, 255, 128)
		r.mknod("c1", unix.S_IFCHR|0o666, 133, 37)
		r.mknod("c2", unix.S_IFCHR|0o666, 253, 97)
	}},
	{name: "device of a large number", change: func(r rootfs) { r.mknod("c", unix.S_IFCHR|0o666, 300, 70_000) }},
	{name: "device renumbered", change: func(r rootfs) { r.remove("null"); r.mknod("null", unix.S_IFCHR|0o644, 1, 5) }},
	{name: "socket", change: func(r rootfs) { r.mknod("etc/sock", unix.S_IFSOCK|0o600, 0, 0); r.write("etc/new", "n") }},
	{name: "sparse file", change: func(r rootfs) {
		f, err := os.Create(r.path("sparse"))
		r.do(err)
		_, err = f.WriteAt([]byte("in the middle"), 5<<20)
		r.do(err)
		r.do(f.Truncate(10 << 20))
		r.do(f.Close())
	}},
	{name: "new attribute", change: func(r rootfs) { r.setxattr("etc/passwd", "user.new", "value") }},
	{name: "attribute of a directory", change: func(r rootfs) { r.setxattr("deep/1/2", "user.new", "value") }},
	{name: "attributes changed, deleted and kept", change: func(r rootfs) {
		r.setxattr("attr", "user.one", "changed")
		r.do(unix.Lremovexattr(r.path("attr"), "user.two"))
		r.do(unix.Lremovexattr(r.path("attrdir"), "user.dir"))
	}},
	{name: "attribute with odd bytes", change: func(r rootfs) { r.setxattr("attr", "user.a key\\", "\x00\xff\nvalue\\") }},
	{name: "attributes that tar cannot hold", loses: true, change: func(r rootfs) {
		r.setxattr("attr", "user.empty", "")
		r.setxattr("attr", "user.a=b", "x")
	}},
	{name: "trusted attribute", change: func(r rootfs) { r.setxattr("attr", "trusted.mine", "x") }},
	{name: "capability", change: func(r rootfs) { r.setxattr("usr/bin/tool", "security.capability", capability(0)) }},
	{name: "capability, setuid and owner", change: func(r rootfs) {
		r.write("cap", "c")
		r.chown("cap", 1000, 1000)
		r.chmod("cap", 0o4755)
		r.setxattr("cap", "security.capability", capability(0))
	}},
	{name: "ACL", change: func(r rootfs) { r.setxattr("etc/passwd", "system.posix_acl_access", acl()) }},
	{name: "default ACL", change: func(r rootfs) { r.setxattr("etc", "system.posix_acl_default", acl()) }},
	{name: "names in many scripts", change: func(r rootfs) {
		for _, n := range []string{"größe", "日本語", "e\u0301 combining", "🚢", "with space", " lead and trail ", `back\slash`, `"quoted"`, "tab\there", "new\nline", "#hash", "*?[]", "-dash"} {
			r.write("etc/"+n, n)
		}
	}},
	{name: "names that are not UTF-8", change: func(r rootfs) { r.write("\xff\xfe", "x"); r.mkdir("dir\x80"); r.write("dir\x80/\xc3\x28", "y") }},
	{name: "name of 255 bytes", change: func(r rootfs) { r.write(strings.Repeat("n", 255), "x") }},
	{name: "path of 4,000 bytes", change: func(r rootfs) {
		dir := strings.Repeat(strings.Repeat("p", 199)+"/", 18)
		r.mkdir(dir)
		r.write(dir+"leaf", "at the end of a long path")
	}},
	{name: "hidden names", change: func(r rootfs) { r.write(".hidden", "x"); r.write("etc/..twodots", "y"); r.write("etc/.w", "z") }},
	{name: "renamed file", change: func(r rootfs) { r.mv("etc/passwd", "etc/shadow") }},
	{name: "file moved to another directory", change: func(r rootfs) { r.mv("data", "opt/data") }},
	{name: "renamed directory", change: func(r rootfs) { r.mv("etc/conf.d", "etc/conf.old") }},
	{name: "directories swapped", differs: true, change: func(r rootfs) {
		r.mv("deep/1", "deep/t")
		r.mv("etc/conf.d", "deep/1")
		r.mv("deep/t", "etc/conf.d")
	}},
	{name: "file replaced by rename", change: func(r rootfs) { r.write("etc/passwd.new", "new"); r.mv("etc/passwd.new", "etc/passwd") }},
	{name: "only opened for writing", change: func(r rootfs) {
		f, err := os.OpenFile(r.path("data"), os.O_RDWR, 0)
		r.do(err)
		r.do(f.Close())
	}},
	{name: "many files", change: func(r rootfs) {
		r.mkdir("many")
		for i := range 300 {
			r.write(fmt.Sprintf("many/%03d", i), strconv.Itoa(i))
		}
	}},
	{name: "a hundred levels", change: func(r rootfs) {
		dir := strings.Repeat("d/", 100)
		r.mkdir("levels/" + dir)
		r.write("levels/"+dir+"leaf", "x")
		r.write("levels/d/d/side", "y")
	}},
	{name: "all at once", differs: true, loses: true, change: func(r rootfs) {
		r.write("etc/passwd", "changed")
		r.remove("deep/1")
		r.mkdir("deep/1/x")
		r.remove("usr/bin/sh")
		r.symlink("tool", "usr/bin/bash")
		r.link("data", "data2")
		r.chmod("root", 0o750)
	}},
}

func TestGomtreeAgrees(t *testing.T) {
	gomtree, err := exec.LookPath("gomtree")
	if err != nil {
		t.Skip("needs gomtree: go install github.com/vbatts/go-mtree/cmd/gomtree@v0.7.0")
	}
	needRoot(t)
	dir := t.TempDir()
	writeImage(t, dir+"/img", nil, baseImage()...)
	runOut(t, tool(t, "oci-unpack"), "oci:"+dir+"/img:base", dir+"/b")
	r := rootfs{t, dir + "/b/rootfs"}
	r.write("etc/new", "n")
	r.remove("deep/1")
	r.link("data", "data2")
	mustCommit(t, dir+"/b", "oci:"+dir+"/img:new")
	found, err := filepath.Glob(dir + "/b/*.mtree")
	must(t, err)
	if len(found) != 1 {
		t.Fatalf("the bundle has the manifests %q, want one", found)
	}
	runOut(t, gomtree, "validate", "-p", r.dir, "-f", found[0])
}
