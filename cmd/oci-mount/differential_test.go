package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/overlay"
)

// unpackTool is oci-unpack, the other opinion, which is built once.
var unpackTool = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "oci-unpack-")
	if err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", dir, "../oci-unpack").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return filepath.Join(dir, "oci-unpack"), nil
})

// tool is this test program as the command oci-mount.
func tool(t testing.TB, words ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", words...)
	cmd.Args[0] = "oci-mount"
	return cmd
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
}

// compareWithUnpack mounts and unpacks the image: either both refuse it, or
// what is seen is the same, whatever the form of the cached layers. It returns
// that, nil for an image that is refused.
func compareWithUnpack(t *testing.T, image string, forms ...string) (tree []string) {
	t.Helper()
	unpack, err := unpackTool()
	must(t, err)
	unpacked := filepath.Join(t.TempDir(), "unpacked")
	out, err := exec.CommandContext(t.Context(), unpack, "-q", image, unpacked).CombinedOutput()
	want := status(err)
	if want == 0 {
		tree = snapshot(t, unpacked+"/rootfs")
	}
	for _, form := range forms {
		compareMount(t, image, form, want, out, tree)
	}
	return tree
}

// compareMount mounts the image, and expects the status and the tree.
func compareMount(t *testing.T, image, form string, want int, said []byte, tree []string) {
	t.Helper()
	work := t.TempDir()
	bundle, root := filepath.Join(work, "mounted"), filepath.Join(work, "root")
	out, err := tool(t, "-q", "--root", root, "--layer-format", form, image, bundle).CombinedOutput()
	if got := status(err); got != want {
		t.Fatalf("oci-unpack ends with %d, oci-mount (%s) with %d:\n%s\n%s", want, form, got, said, out)
	}
	if err != nil {
		if left, err := os.ReadDir(work); err != nil || len(left) > 1 {
			t.Errorf("left over: %v, %v", left, err)
		}
		if tmp, err := os.ReadDir(filepath.Join(root, "tmp")); err == nil && len(tmp) > 0 {
			t.Errorf("left over in the store: %v", tmp)
		}
		return
	}
	if diff := cmp.Diff(tree, snapshot(t, bundle+"/rootfs")); diff != "" {
		t.Errorf("unpacked (-) and mounted (%s, +) differ:\n%s", form, diff)
	}
	must(t, overlay.Unmount(bundle+"/rootfs", false))
}

// compareScript runs the script of -n, if the image has one, and expects the
// same tree. What it makes is in a mount namespace that ends with it.
func compareScript(t *testing.T, image string, tree []string, flags ...string) {
	t.Helper()
	work := t.TempDir()
	bundle, script := filepath.Join(work, "mounted"), filepath.Join(work, "script")
	words := append([]string{"-q", "-n", "--root", filepath.Join(work, "root")}, flags...)
	printed, err := tool(t, append(words, image, bundle)...).Output()
	if status(err) == 5 {
		t.Logf("no script: %v", err)
		return
	}
	must(t, err)
	must(t, os.WriteFile(script, printed, 0o644))
	if out, err := exec.CommandContext(t.Context(), "sh", "-eu", script).CombinedOutput(); err != nil {
		t.Fatalf("the script fails: %v: %s\n%s", err, out, printed)
	}
	t.Cleanup(func() { unmountBelow(t, work) })
	if diff := cmp.Diff(tree, snapshot(t, bundle+"/rootfs")); diff != "" {
		t.Errorf("unpacked (-) and mounted by hand (+) differ:\n%s\n%s", diff, printed)
	}
}

func status(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}

// snapshot describes all that an image can say of each file. Attributes that
// speak to overlayfs are left out: the mount may show them again, unescaped,
// where the unpacked tree must not have them.
func snapshot(t *testing.T, root string) []string {
	t.Helper()
	var lines []string
	// Several erofs layers have the same numbers, each on a device of its own.
	type inode struct{ dev, number uint64 }
	inodes := make(map[inode]string)
	err := filepath.WalkDir(root, func(name string, _ fs.DirEntry, err error) error {
		// Deeper than a path can say, whatever the length of its root.
		if errors.Is(err, unix.ENAMETOOLONG) || len(name)-len(root) > unix.PathMax-256 {
			return filepath.SkipDir
		}
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(name, &st); errors.Is(err, unix.ENAMETOOLONG) {
			return nil
		} else if err != nil {
			return err
		}
		rel := strings.TrimPrefix(name, root)
		line := fmt.Sprintf("%q %o %d:%d %d.%09d", rel, st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			line += fmt.Sprintf(" %d %x", st.Size, contentSum(t, name))
		case unix.S_IFLNK:
			target, err := os.Readlink(name)
			must(t, err)
			line += fmt.Sprintf(" %q", target)
		case unix.S_IFCHR, unix.S_IFBLK:
			line += fmt.Sprintf(" %x", st.Rdev)
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR && st.Nlink > 1 {
			key := inode{st.Dev, st.Ino}
			if first, ok := inodes[key]; ok {
				line += " = " + first
			} else {
				inodes[key] = rel
			}
		}
		lines = append(lines, line+attributes(t, name))
		return nil
	})
	must(t, err)
	return lines
}

func contentSum(t *testing.T, name string) []byte {
	t.Helper()
	f, err := os.Open(name)
	must(t, err)
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	must(t, err)
	return h.Sum(nil)[:8]
}

func attributes(t *testing.T, name string) string {
	t.Helper()
	buf := make([]byte, 1<<16)
	n, err := unix.Llistxattr(name, buf)
	must(t, err)
	var words []string
	for key := range strings.SplitSeq(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00") {
		if key == "" || strings.HasPrefix(key, "trusted.overlay.") || strings.HasPrefix(key, "user.overlay.") {
			continue
		}
		value := make([]byte, 1<<16)
		size, err := unix.Lgetxattr(name, key, value)
		must(t, err)
		words = append(words, fmt.Sprintf(" %s=%q", key, value[:size]))
	}
	slices.Sort(words)
	return strings.Join(words, "")
}

// TestSameAsUnpack covers the ways in which a stack of layers is known to
// differ from layers applied in turn.
func TestSameAsUnpack(t *testing.T) {
	t.Parallel()
	needRoot(t)
	base := []entry{
		directory(".", 0o751).owner(3, 4).at(1), directory("d", 0o700).owner(5, 6).at(2).xattr("user.note", "x"),
		directory("d/sub", 0o2770).owner(7, 8).at(3), file("d/sub/f", "f"), file("d/f", "f"),
		directory("e", 0o711).at(4), file("e/f", "f"), symlink("lnk", "d/sub"), symlink("loop", "loop"), file("file", "x"),
	}
	images := map[string][][]entry{
		"nothing":               {},
		"empty layers":          {{}, {}, {}},
		"implied":               {base, {file("d/sub/new", "n")}, {file("d/sub/new2", "n")}},
		"implied twice":         {base, {directory("d", 0o755), file("d/x", "")}, {file("d/sub/new2", "n")}},
		"root only above":       {{file("d/f", "")}, {directory(".", 0o700).at(9)}},
		"removed, remade below": {base, {whiteout("d")}, {file("d/sub/new", "n")}},
		"whiteout and entry":    {base, {whiteout("d"), file("d/new", "n")}},
		"entry and whiteout":    {base, {file("d/new", "n"), whiteout("d")}},
		"opaque implied":        {base, {opaque("d"), file("d/sub/new", "n")}},
		"opaque explicit":       {base, {directory("d", 0o500).at(9), opaque("d"), file("d/sub/new", "n")}},
		"opaque late":           {base, {file("d/sub/new", "n"), opaque("d")}},
		"opaque below":          {base, {opaque("d/sub")}, {file("d/sub/x", "")}},
		"opaque root":           {base, {opaque("."), file("d/new", "n")}},
		"opaque root, again":    {base, {opaque("."), file("d/new", "n")}, {file("e/f", "n")}},
		"through link":          {base, {file("lnk/new", "n")}, {file("lnk/new2", "n")}},
		"through link, hidden":  {base, {whiteout("lnk")}, {file("lnk/new", "n")}},
		"opaque through link":   {base, {opaque("lnk")}},
		"whiteout through link": {base, {whiteout("lnk/f")}},
		"through loop":          {base, {file("loop/new", "n")}},
		"below a file":          {base, {file("file/new", "n")}},
		"dir over file":         {base, {directory("file", 0o700)}},
		"file over dir":         {base, {file("d", "now a file")}, {file("d/again", "n")}},
		"dir over link":         {base, {directory("lnk", 0o700), file("lnk/f", "n")}},
		"link to lower":         {base, {hardlink("hard", "d/sub/f")}, {file("d/sub/f", "replaced")}},
		"link to lower, gone":   {base, {whiteout("d/f")}, {hardlink("hard", "d/f")}},
		"link to nothing":       {{hardlink("hard", "nowhere")}},
		"link inside":           {{file("a", "x"), hardlink("b", "a"), hardlink("c", "b")}, {whiteout("a")}},
		"whiteout of nothing":   {{whiteout("x"), file("y", "")}, {whiteout("d/x")}},
		"times":                 {{directory("d", 0o755).at(-5), file("d/f", "").at(-1)}, {file("d/g", "")}},
	}
	for name, layers := range images {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "img")
			must(t, os.Mkdir(dir, 0o755))
			writeImage(t, dir, "t", layers...)
			if tree := compareWithUnpack(t, dir+":t", formatDir, formatAuto); tree != nil {
				compareScript(t, dir+":t", tree)
			}
		})
	}
}

// TestRandomStacks does the same with layers that nobody thought of.
func TestRandomStacks(t *testing.T) {
	t.Parallel()
	needRoot(t)
	count := 60
	if testing.Short() {
		count = 8
	}
	for seed := range count {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(uint64(seed), 7))
			layers := make([][]entry, 2+random.IntN(4))
			for i := range layers {
				layers[i] = randomLayer(random)
			}
			dir := filepath.Join(t.TempDir(), "img")
			must(t, os.Mkdir(dir, 0o755))
			writeImage(t, dir, "t", layers...)
			tree := compareWithUnpack(t, dir+":t", formatDir, formatAuto)
			if tree != nil && seed%4 == 0 { // of most of them tar would make something else
				compareScript(t, dir+":t", tree)
			}
		})
	}
}

func randomLayer(random *rand.Rand) []entry {
	name := func() string {
		words := make([]string, 1+random.IntN(3))
		for i := range words {
			words[i] = string(rune('a' + random.IntN(4)))
		}
		return path.Join(words...)
	}
	var layer []entry
	for range 1 + random.IntN(10) {
		n := name()
		switch random.IntN(10) {
		case 0, 1, 2:
			layer = append(layer, file(n, n))
		case 3, 4, 5:
			layer = append(layer, directory(n, int64(0o700+random.IntN(64))).owner(random.IntN(9), 1).at(int64(random.IntN(1000))))
		case 6:
			layer = append(layer, symlink(n, name()))
		case 7:
			layer = append(layer, whiteout(n))
		case 8:
			layer = append(layer, opaque(n))
		case 9:
			layer = append(layer, file(n+"-target", "t"), hardlink(n, n+"-target"))
		}
	}
	return layer
}

// TestRealImagesSameAsUnpack takes the images that are kept beside the
// repository.
func TestRealImagesSameAsUnpack(t *testing.T) {
	needRoot(t)
	for _, image := range []string{"busybox:latest", "busybox:glibc", "alpine:3.20"} {
		t.Run(image, func(t *testing.T) {
			path := filepath.Join(shared(t, "images"), image)
			compareScript(t, path, compareWithUnpack(t, path, formatDir, formatAuto))
		})
	}
}

// shared returns the path of test material beside the repository.
func shared(t *testing.T, name string) string {
	t.Helper()
	dir, err := filepath.Abs("../../../shared/" + name)
	must(t, err)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("test material ../shared/%s is not here", name)
	}
	return dir
}

// canary is the directory of the host that hostile images aim at.
const canary = "/oci-canary"

// TestHostileSameAsUnpack mounts each image of the hostile collection, in a
// mount namespace in which the canary is a file system of its own.
func TestHostileSameAsUnpack(t *testing.T) {
	t.Parallel()
	needRoot(t)
	collection := shared(t, "hostile")
	if testing.Short() {
		t.Skip("two runs for each of some 260 images")
	}
	if os.Getenv("OCI_MOUNT_HOSTILE") == "" {
		again := exec.Command("/proc/self/exe", "-test.run=^TestHostileSameAsUnpack$", "-test.v")
		again.Env = append(os.Environ(), "OCI_MOUNT_HOSTILE=1")
		again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
		made := os.Mkdir(canary, 0o700) == nil
		out, err := again.CombinedOutput()
		if made {
			_ = os.Remove(canary) // unless another test uses it
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	must(t, unix.Mount("tmpfs", canary, "tmpfs", 0, "mode=750"))
	for name, content := range map[string]string{"victim": "v", "dir/f": "f", "dir/sub/g": "g", "passwd": "canaryuser:x:31337:31337::/:/bin/sh\n"} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(canary, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(canary, name), []byte(content), 0o640))
	}
	before := snapshot(t, canary)

	var cases []struct{ ID, Expect, Tag string }
	data, err := os.ReadFile(filepath.Join(collection, "cases.json"))
	must(t, err)
	must(t, json.Unmarshal(data, &cases))
	layouts := t.TempDir()
	extractLayouts(t, filepath.Join(collection, "layouts.tar.zst"), layouts)
	t.Cleanup(func() {
		if diff := cmp.Diff(before, snapshot(t, canary)); diff != "" {
			t.Errorf("the canary was changed:\n%s", diff)
		}
	})
	forms := []string{formatDir, formatAuto}
	for i, c := range cases {
		t.Run(c.ID, func(t *testing.T) {
			t.Parallel()
			compareWithUnpack(t, filepath.Join(layouts, "hostile", c.ID, "layout")+":"+c.Tag, forms[i%2])
		})
	}
}

// extractLayouts unpacks the collection with plain calls.
func extractLayouts(t *testing.T, archive, dir string) {
	t.Helper()
	packed, err := os.ReadFile(archive)
	must(t, err)
	z, err := zstd.NewReader(bytes.NewReader(packed))
	must(t, err)
	defer z.Close()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		must(t, err)
		name := filepath.Join(dir, h.Name)
		must(t, os.MkdirAll(filepath.Dir(name), 0o755))
		switch h.Typeflag {
		case tar.TypeDir:
			must(t, os.MkdirAll(name, 0o755))
		case tar.TypeReg:
			content, err := io.ReadAll(r)
			must(t, err)
			must(t, os.WriteFile(name, content, 0o644))
		case tar.TypeSymlink:
			must(t, os.Symlink(h.Linkname, name))
		case tar.TypeFifo:
			must(t, unix.Mkfifo(name, 0o644))
		default:
			t.Fatalf("%s has type %q", h.Name, h.Typeflag)
		}
	}
}
