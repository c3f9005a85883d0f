package erofs_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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

// TestErofsUtils asks the format's own tools. Those before 1.6 know blocks of
// a page only.
func TestErofsUtils(t *testing.T) {
	image := write(t, make([]byte, 1024), directory(erofs.Entry{Name: "f", Inode: file(1000, 0)}, erofs.Entry{Name: "d", Inode: directory()}))
	for _, words := range [][]string{{"fsck.erofs", image}, {"dump.erofs", "-s", image}} {
		if _, err := exec.LookPath(words[0]); err != nil {
			t.Skip("no erofs-utils here; install them with: apt-get install erofs-utils")
		}
		out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
		if bytes.Contains(out, []byte("isn't supported")) {
			t.Skipf("%s is older than 1.6: %s", words[0], bytes.TrimSpace(out))
		}
		if err != nil {
			t.Errorf("%v: %v\n%s", words, err, out)
		}
	}
}
