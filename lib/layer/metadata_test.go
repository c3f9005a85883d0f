package layer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/internal/testimage"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
	"github.com/oci-plumbing/oci-plumbing/lib/mtree"
)

// capability is a v2 file capability: cap_net_bind_service, effective.
const capability = "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

func stat(t *testing.T, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st
}

func TestMetadata(t *testing.T) {
	needRoot(t)
	m, layers := stack(t, []testimage.Entry{
		testimage.Dir("d", testimage.Mode(0o555), testimage.Owner(7, 8), testimage.MTime(time.Unix(1_234_567_890, 123_456_789)), testimage.Xattr("user.x", "v")),
		testimage.File("d/a", "1"), testimage.Dir("d/b"), testimage.File("d/b/c", "2"),
		testimage.File("caps", "x", testimage.Mode(0o4755), testimage.Owner(1000, 1000), testimage.Xattr("security.capability", capability)),
		testimage.File("past", "x", testimage.MTime(time.Unix(-5, 0))),
		testimage.File("half", "x", testimage.MTime(time.Unix(-2, 500_000_000))),
		testimage.File("big", "x", testimage.Owner(4_000_000_000, 4_000_000_000)),
		testimage.Symlink("s", "nowhere", testimage.Owner(5, 6), at(1_222_222_222)),
		testimage.Char("c", 255, 70000), testimage.Block("b", 128, 42, testimage.Mode(0o660), testimage.Owner(1, 2)),
		testimage.File("p/q/r/file", ""),
	})
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	root, _, err := unpackTo(t, m, layers, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"d":     "40555 7:8 1234567890.123456789 0",
		"caps":  "104755 1000:1000 1000000000.000000000 0",
		"past":  "100644 0:0 -5.000000000 0",
		"half":  "100644 0:0 -2.500000000 0",
		"big":   "100644 4000000000:4000000000 1000000000.000000000 0",
		"s":     "120777 5:6 1222222222.000000000 0",
		"c":     fmt.Sprintf("20644 0:0 1000000000.000000000 %d", unix.Mkdev(255, 70000)),
		"b":     fmt.Sprintf("60660 1:2 1000000000.000000000 %d", unix.Mkdev(128, 42)),
		"p":     "40755 0:0 0.000000000 0",
		"p/q/r": "40755 0:0 0.000000000 0",
		".":     "40755 0:0 0.000000000 0",
	} {
		st := stat(t, filepath.Join(root, path))
		got := fmt.Sprintf("%o %d:%d %d.%09d %d", st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec, st.Rdev)
		if got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
	if got, want := attributes(t, filepath.Join(root, "caps")), fmt.Sprintf(" security.capability=%q", capability); got != want {
		t.Errorf("caps has%s, want%s", got, want)
	}
	if got := attributes(t, filepath.Join(root, "d")); got != ` user.x="v"` {
		t.Errorf("d has%s", got)
	}
}

// A directory that a layer goes into without describing it keeps what it has.
func TestUndescribedParentKeepsItsMetadata(t *testing.T) {
	needRoot(t)
	m, layers := stack(t,
		[]testimage.Entry{testimage.Dir("tmp", testimage.Mode(0o1777), at(1_111_111_111), testimage.Xattr("user.x", "v")), testimage.Dir("e", at(5))},
		[]testimage.Entry{testimage.File("tmp/new", "x"), testimage.Whiteout("e/gone"), testimage.Opaque("e")},
		[]testimage.Entry{testimage.Dir("e", at(6)), testimage.Whiteout("e/x")},
	)
	root, _, err := unpackTo(t, m, layers, Options{})
	if err != nil {
		t.Fatal(err)
	}
	st := stat(t, filepath.Join(root, "tmp"))
	if st.Mode != unix.S_IFDIR|0o1777 || st.Mtim.Sec != 1_111_111_111 || attributes(t, filepath.Join(root, "tmp")) != ` user.x="v"` {
		t.Errorf("tmp is %o %d%s", st.Mode, st.Mtim.Sec, attributes(t, filepath.Join(root, "tmp")))
	}
	if st := stat(t, filepath.Join(root, "e")); st.Mtim.Sec != 6 {
		t.Errorf("e has the time %d, want 6", st.Mtim.Sec)
	}
}

func TestXattrs(t *testing.T) {
	needRoot(t)
	var warnings []string
	m, layers := stack(t,
		[]testimage.Entry{testimage.Dir("d", testimage.Xattr("user.old", "1")), testimage.File("f", "", testimage.Xattr("user.old", "1"))},
		[]testimage.Entry{
			testimage.Dir("d", testimage.Xattr("user.new", "2")), testimage.File("f", ""),
			testimage.File("masked", "", testimage.Xattr("security.selinux", "x"), testimage.Xattr("system.nfs4_acl", "x")),
			testimage.File("live", "", testimage.Xattr("trusted.overlay.opaque", "y"), testimage.Xattr("user.overlay.whiteout", "y"), testimage.Xattr("user.k", "v")),
			testimage.Symlink("s", "x", testimage.Xattr("user.k", "v")),
			testimage.File("odd", "", testimage.Xattr("nonsense.k", "v")),
		},
	)
	root, result, err := unpackTo(t, m, layers, Options{Writers: 1, Warn: func(format string, args ...any) {
		warnings = append(warnings, fmt.Sprintf(format, args...))
	}})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"d": ` user.new="2"`, "f": "", "masked": "", "live": ` user.k="v"`, "s": "", "odd": ""} {
		if got := attributes(t, filepath.Join(root, path)); got != want {
			t.Errorf("%s has%s, want%s", path, got, want)
		}
	}
	if !slices.ContainsFunc(warnings, func(w string) bool { return strings.Contains(w, "trusted.overlay.opaque") }) {
		t.Errorf("warnings are %q, want one about trusted.overlay.opaque", warnings)
	}
	checkManifest(t, root, result)
}

// checkManifest compares the disk with what was recorded while writing.
func checkManifest(t *testing.T, root string, r *Result) {
	t.Helper()
	diffs, err := mtree.Compare(context.Background(), root, strings.NewReader(manifestOf(t, r)))
	if err != nil || len(diffs) > 0 {
		t.Errorf("Compare = %v, %v", diffs, err)
	}
}

func TestManifestIsTheDisk(t *testing.T) {
	needRoot(t)
	m, layers := stack(t,
		append(parse(t, "a=1 b=>a d/ d/e=2@4711 s->x p| gone=3 g/ g/x=1 deep/er/f=4"), testimage.Char("null", 1, 3), testimage.File("\xff odd\n#", "x")),
		parse(t, "a=5 .wh.gone c=>b g/OPQ"),
	)
	root, result, err := unpackTo(t, m, layers, Options{UIDMap: idmap.Map{{Container: 0, Host: 1337, Size: 65535}}, GIDMap: idmap.Map{{Container: 0, Host: 8888, Size: 65535}}})
	if err != nil {
		t.Fatal(err)
	}
	if st := stat(t, filepath.Join(root, "deep")); st.Uid != 1337 || st.Gid != 8888 {
		t.Errorf("an implied directory belongs to %d:%d, want 1337:8888", st.Uid, st.Gid)
	}
	checkManifest(t, root, result)
}

func TestIDOutsideTheMap(t *testing.T) {
	needRoot(t)
	m, layers := stack(t, []testimage.Entry{testimage.File("f", "", testimage.Owner(70000, 0))})
	_, _, err := unpackTo(t, m, layers, Options{UIDMap: idmap.Map{{Container: 0, Host: 1337, Size: 65535}}})
	if !errors.Is(err, fault.ErrRefused) || !strings.Contains(err.Error(), `"f"`) || !strings.Contains(err.Error(), "70000") {
		t.Errorf("Unpack = %v, want a refusal that names f and 70000", err)
	}
}

func TestRootlessKeepsOwners(t *testing.T) {
	m, layers := stack(t, []testimage.Entry{
		testimage.Dir("d", testimage.Mode(0), testimage.Owner(0, 942)), testimage.File("d/f", "x", testimage.Owner(333, 825), testimage.Mode(0)),
		testimage.File("plain", ""), testimage.Block("dev", 8, 0, testimage.Mode(0o660)),
	})
	root := filepath.Join(t.TempDir(), "rootfs")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	r, err := Unpack(context.Background(), m, layers, root, Options{Rootless: true})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Placeholder{{Path: "dev", Type: "block", Mode: 0o660, Major: 8}}, r.Placeholders); diff != "" {
		t.Errorf("placeholders (-want +got):\n%s", diff)
	}
	for path, want := range map[string]string{
		"d":   "\x08\xff\xff\xff\xff\x0f\x10\xae\x07",
		"d/f": "\x08\xcd\x02\x10\xb9\x06",
	} {
		if os.Geteuid() != 0 && path != "d" {
			continue // locked, as the image says
		}
		value := make([]byte, 64)
		n, err := unix.Getxattr(filepath.Join(root, path), RootlessXattr, value)
		if err != nil || string(value[:n]) != want {
			t.Errorf("%s of %s = %q, %v, want %q", RootlessXattr, path, value[:max(0, n)], err, want)
		}
	}
}

func TestSparse(t *testing.T) {
	needRoot(t)
	for _, format := range []string{"gnu", "oldgnu", "posix0.0", "posix0.1", "posix1.0"} {
		t.Run(format, func(t *testing.T) {
			plain := sparseTar(t, format)
			m := memory{}
			l := m.add(t, plain, testimage.Gzip)
			root, result, err := unpackTo(t, m, []Layer{l}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(filepath.Join(root, "sparse"))
			if err != nil {
				t.Fatal(err)
			}
			want := make([]byte, 10<<20)
			copy(want[1<<20:], "one")
			copy(want[9<<20:], "two")
			if !bytes.Equal(data, want) {
				t.Errorf("the contents differ")
			}
			if st := stat(t, filepath.Join(root, "sparse")); st.Blocks*512 > 1<<20 {
				t.Errorf("it takes %d bytes on the disk", st.Blocks*512)
			}
			checkManifest(t, root, result)
		})
	}
}
