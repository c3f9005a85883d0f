package erofs_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/erofs"
	"github.com/oci-plumbing/oci-plumbing/lib/overlay"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func file(size, data int64) *erofs.Inode {
	return &erofs.Inode{Mode: unix.S_IFREG | 0o640, UID: 70000, GID: 80000, Sec: -5, Nsec: 7, Size: size, Data: data}
}

func directory(entries ...erofs.Entry) *erofs.Inode {
	return &erofs.Inode{Mode: unix.S_IFDIR | 0o751, Sec: 1_000_000_000, Entries: entries}
}

// write makes an image of the tree around the archive.
func write(t *testing.T, archive []byte, root *erofs.Inode) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(name)
	must(t, err)
	_, err = f.WriteAt(archive, erofs.Start)
	must(t, err)
	must(t, erofs.Write(f, int64(len(archive)), root))
	must(t, f.Close())
	return name
}

// mount mounts it, as far as root and the kernel allow, and returns a path to
// what is in it.
func mount(t *testing.T, image string) string {
	t.Helper()
	l, err := overlay.OpenErofs(image)
	if errors.Is(err, overlay.ErrNoErofs) {
		t.Skipf("the kernel does not mount erofs images from files here: %v", err)
	}
	must(t, err)
	t.Cleanup(func() { must(t, l.Mount.Close()) })
	return fmt.Sprintf("/proc/self/fd/%d", l.Mount.Fd())
}

func TestTreeAsTheKernelReadsIt(t *testing.T) {
	archive := []byte(strings.Repeat("0123456789abcdef", 100)) // 1600 bytes: not whole blocks
	shared := file(600, 512)
	shared.Xattrs = []erofs.Xattr{{Name: "user.note", Value: "hello"}, {Name: "trusted.big", Value: strings.Repeat("v", 3000)}}
	long := strings.Repeat("long/", 120)
	many := directory()
	for i := range 300 {
		many.Entries = append(many.Entries, erofs.Entry{Name: fmt.Sprintf("%03d-%s", i, strings.Repeat("n", i%250)), Inode: file(int64(i), 0)})
	}
	root := directory(
		erofs.Entry{Name: "a", Inode: shared}, erofs.Entry{Name: "b", Inode: shared},
		erofs.Entry{Name: "-before-dots", Inode: file(0, 0)},
		erofs.Entry{Name: "many", Inode: many},
		erofs.Entry{Name: "short", Inode: &erofs.Inode{Mode: unix.S_IFLNK | 0o777, Target: "a"}},
		erofs.Entry{Name: "long", Inode: &erofs.Inode{Mode: unix.S_IFLNK | 0o777, Target: long}},
		erofs.Entry{Name: "dev", Inode: &erofs.Inode{Mode: unix.S_IFBLK | 0o600, Major: 259, Minor: 70000}},
		erofs.Entry{Name: "gone", Inode: &erofs.Inode{Mode: unix.S_IFCHR}},
		erofs.Entry{Name: "pipe", Inode: &erofs.Inode{Mode: unix.S_IFIFO | 0o644}},
		erofs.Entry{Name: "bytes\xff\xfe", Inode: directory(erofs.Entry{Name: "empty", Inode: directory()})},
	)
	root.Xattrs = []erofs.Xattr{{Name: "trusted.overlay.opaque", Value: "y"}}
	image := write(t, archive, root)
	at := mount(t, image)

	var st unix.Stat_t
	must(t, unix.Stat(at+"/a", &st))
	if st.Mode != unix.S_IFREG|0o640 || st.Uid != 70000 || st.Gid != 80000 || st.Size != 600 || st.Nlink != 2 || st.Mtim.Sec != -5 || st.Mtim.Nsec != 7 {
		t.Errorf("stat a = %+v", st)
	}
	ino := st.Ino
	must(t, unix.Stat(at+"/b", &st))
	if st.Ino != ino {
		t.Error("a and b are not one file")
	}
	for name, want := range map[string][]byte{"a": archive[512:1112], "many/299-" + strings.Repeat("n", 49): archive[:299], "-before-dots": {}} {
		got, err := os.ReadFile(at + "/" + name)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s = %q, %v", name, got, err)
		}
	}
	buf := make([]byte, 4096)
	n, err := unix.Getxattr(at+"/b", "trusted.big", buf)
	if err != nil || n != 3000 {
		t.Errorf("trusted.big has %d bytes, %v", n, err)
	}
	for name, want := range map[string]string{"short": "a", "long": long} {
		if got, err := os.Readlink(at + "/" + name); err != nil || got != want {
			t.Errorf("%s -> %q, %v", name, got, err)
		}
	}
	must(t, unix.Stat(at+"/dev", &st))
	if unix.Major(st.Rdev) != 259 || unix.Minor(st.Rdev) != 70000 {
		t.Errorf("dev is %d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	}
	must(t, unix.Stat(at+"/gone", &st))
	if st.Rdev != 0 || st.Mode&unix.S_IFMT != unix.S_IFCHR {
		t.Errorf("gone = %+v", st)
	}
	names, err := os.ReadDir(at + "/many")
	if err != nil || len(names) != 300 {
		t.Errorf("many has %d names, %v", len(names), err)
	}
	must(t, unix.Stat(at+"/bytes\xff\xfe", &st))
	if st.Nlink != 3 {
		t.Errorf("a directory with one directory in it has %d links", st.Nlink)
	}
	names, err = os.ReadDir(at)
	if err != nil || len(names) != len(root.Entries) {
		t.Errorf("the root has %d names, %v", len(names), err)
	}
}

func TestTheArchiveComesBack(t *testing.T) {
	for _, size := range []int{0, 1, 511, 512, 5000} {
		archive := bytes.Repeat([]byte{'x'}, size)
		image, err := os.ReadFile(write(t, archive, directory()))
		must(t, err)
		section, err := erofs.Tar(bytes.NewReader(image))
		must(t, err)
		got := make([]byte, section.Size())
		if _, err := section.ReadAt(got, 0); err != nil && size > 0 || !bytes.Equal(got, archive) {
			t.Errorf("%d bytes came back as %d, %v", size, len(got), err)
		}
	}
}

func TestDamagedSuperblocksAreRefused(t *testing.T) {
	image, err := os.ReadFile(write(t, []byte("x"), directory()))
	must(t, err)
	if _, err := erofs.Tar(bytes.NewReader(image)); err != nil {
		t.Errorf("Tar = %v", err)
	}
	for _, at := range []int{1024, 1028, 1060, 1024 + 64, 1024 + 511} {
		bad := bytes.Clone(image)
		bad[at] ^= 1
		if _, err := erofs.Tar(bytes.NewReader(bad)); err == nil {
			t.Errorf("byte %d changed, and Tar finds nothing", at)
		}
	}
	if _, err := erofs.Tar(bytes.NewReader(image[:1024])); err == nil {
		t.Error("a cut image is not refused")
	}
}

func TestEqualTreesAreEqualBytes(t *testing.T) {
	tree := func(names ...string) *erofs.Inode {
		d := directory()
		d.Xattrs = []erofs.Xattr{{Name: "user.a", Value: "1"}, {Name: "user.b", Value: "2"}}
		for _, n := range names {
			d.Entries = append(d.Entries, erofs.Entry{Name: n, Inode: directory()})
		}
		return d
	}
	one, err := os.ReadFile(write(t, nil, tree("a", "b", "c")))
	must(t, err)
	two, err := os.ReadFile(write(t, nil, tree("c", "a", "b")))
	must(t, err)
	if !bytes.Equal(one, two) {
		t.Error("the order of entries shows in the image")
	}
}

func TestNotPossible(t *testing.T) {
	for _, name := range []string{"system.other", "odd", "system.posix_acl_access.x", "user." + strings.Repeat("n", 300)} {
		root := directory()
		root.Xattrs = []erofs.Xattr{{Name: name, Value: "v"}}
		f, err := os.Create(filepath.Join(t.TempDir(), "image"))
		must(t, err)
		if err := erofs.Write(f, 0, root); !errors.Is(err, erofs.ErrNotPossible) {
			t.Errorf("attribute %s: %v", name, err)
		}
		must(t, f.Close())
	}
}

// TestErofsUtils asks the format's own tools about a tree with everything that
// layers have.
func TestErofsUtils(t *testing.T) {
	fsck, dump := utility(t, "fsck.erofs"), utility(t, "dump.erofs")
	linked, marked := file(1000, 0), directory()
	linked.Xattrs = []erofs.Xattr{{Name: "user.note", Value: strings.Repeat("v", 3000)}, {Name: "security.capability", Value: strings.Repeat("c", 20)}}
	marked.Xattrs = []erofs.Xattr{{Name: "trusted.overlay.opaque", Value: "y"}}
	root := directory(
		erofs.Entry{Name: "f", Inode: linked}, erofs.Entry{Name: "g", Inode: linked}, erofs.Entry{Name: "empty", Inode: file(0, 0)},
		erofs.Entry{Name: "short", Inode: &erofs.Inode{Mode: unix.S_IFLNK | 0o777, Target: "f"}},
		erofs.Entry{Name: "long", Inode: &erofs.Inode{Mode: unix.S_IFLNK | 0o777, Target: strings.Repeat("t", 2000)}},
		erofs.Entry{Name: "whiteout", Inode: &erofs.Inode{Mode: unix.S_IFCHR}},
		erofs.Entry{Name: "disk", Inode: &erofs.Inode{Mode: unix.S_IFBLK | 0o600, Major: 259, Minor: 70000}},
		erofs.Entry{Name: "pipe", Inode: &erofs.Inode{Mode: unix.S_IFIFO | 0o600}},
		erofs.Entry{Name: "opaque", Inode: marked},
	)
	for i := range 300 {
		root.Entries = append(root.Entries, erofs.Entry{Name: fmt.Sprintf("dir-%d", i), Inode: directory(erofs.Entry{Name: "h", Inode: file(512, 512)})})
	}
	image := write(t, make([]byte, 1024), root)
	out := run(t, dump, "-s", image)
	for _, want := range []string{"blocksize: +512\n", "inode count: +60[0-9]\n", "sb_csum"} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("dump.erofs does not show %q:\n%s", want, out)
		}
	}
	run(t, fsck, withoutChecksum(t, image))
}

// withoutChecksum takes the checksum out of the superblock, which TestTar and
// the kernel verify: fsck.erofs up to 1.8.6 computes it over as many bytes as
// a block has behind the superblock's offset, 1024, and of a smaller block it
// reads until it crashes. mkfs.erofs leaves it out, too.
func withoutChecksum(t *testing.T, image string) string {
	t.Helper()
	data, err := os.ReadFile(image)
	must(t, err)
	const super = 1024
	copy(data[super+4:], make([]byte, 4))
	data[super+8] &^= 1
	plain := filepath.Join(t.TempDir(), "plain")
	must(t, os.WriteFile(plain, data, 0o600))
	return plain
}

// utility finds a program of erofs-utils that knows blocks of less than a
// page, which those of Debian 12 do not.
func utility(t *testing.T, name string) string {
	t.Helper()
	const hint = "make newer ones with: scripts/erofs-utils"
	if path, err := filepath.Abs("../../build/tools/" + name); err == nil && unix.Access(path, unix.X_OK) == nil {
		return path
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skip("no erofs-utils here; " + hint)
	}
	if out, _ := exec.Command(path, write(t, nil, directory())).CombinedOutput(); bytes.Contains(out, []byte("isn't supported")) {
		t.Skipf("%s is older than 1.6: %s; %s", path, bytes.TrimSpace(out), hint)
	}
	return path
}

func run(t *testing.T, words ...string) string {
	t.Helper()
	out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	if err != nil {
		t.Errorf("%v: %v\n%s", words, err, out)
	}
	return string(out)
}
