package overlay_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/google/go-cmp/cmp"

	"github.com/oci-plumbing/oci-plumbing/lib/overlay"
)

func TestFixupShowsTheMetadataOfLowerLayers(t *testing.T) {
	needRoot(t)
	bottom := dir(t, "root/", "tmp/", "srv/data/", "gone/", "cut/deep/")
	stamp := time.Unix(1000000000, 5)
	for path, mode := range map[string]uint32{"root": 0o700, "tmp": 0o1777, "srv/data": 0o2750, "gone": 0o700, "cut/deep": 0o711, ".": 0o751} {
		full := filepath.Join(bottom, path)
		must(t, unix.Chmod(full, mode))
		must(t, os.Chown(full, 7, 8))
		must(t, unix.Chmod(full, mode))
		must(t, os.Chtimes(full, stamp, stamp))
	}
	must(t, unix.Setxattr(filepath.Join(bottom, "srv/data"), "user.note", []byte("kept"), 0))
	must(t, os.Chtimes(bottom, stamp, stamp))

	top := dir(t, "root/new", "tmp/new", "srv/data/new", "gone/new", "cut/deep/new", "only/here/new")
	must(t, unix.Setxattr(filepath.Join(top, "gone"), "trusted.overlay.opaque", []byte("y"), 0))
	implied := []string{".", "root", "tmp", "srv", "srv/data", "cut", "cut/deep", "only", "only/here"}
	// "gone" is explicit there, and "cut" too: an opaque middle layer hides it.
	middle := dir(t, "cut/")
	must(t, unix.Setxattr(filepath.Join(middle, "cut"), "trusted.overlay.opaque", []byte("y"), 0))

	layers := []overlay.Layer{
		{Lower: overlay.Lower{Path: top}, Implied: implied},
		{Lower: overlay.Lower{Path: middle}, Implied: []string{"."}},
		{Lower: overlay.Lower{Path: bottom}},
	}
	fix := t.TempDir()
	needed, err := survey(t, layers).Fixup(fix)
	must(t, err)
	if !needed {
		t.Fatal("Fixup says that nothing is needed")
	}
	target := mount(t, overlay.Stack{Lowers: lowers(fix, top, middle, bottom)})
	for path, want := range map[string]string{
		".":        "751 7:8 1000000000.5",
		"root":     "700 7:8 1000000000.5",
		"tmp":      "1777 7:8 1000000000.5",
		"srv/data": "2750 7:8 1000000000.5",
	} {
		if got := describe(t, filepath.Join(target, path)); got != want {
			t.Errorf("%s = %s, want %s", path, got, want)
		}
		if _, err := os.Stat(filepath.Join(target, path, "new")); path != "." && err != nil {
			t.Errorf("content no longer merges: %v", err)
		}
	}
	value := make([]byte, 16)
	n, err := unix.Getxattr(filepath.Join(target, "srv/data"), "user.note", value)
	if err != nil || string(value[:n]) != "kept" {
		t.Errorf("attribute = %q, %v", value[:max(n, 0)], err)
	}
	if _, err := os.Stat(filepath.Join(fix, "only")); err == nil {
		t.Error("the fixup layer holds a directory that hides nothing")
	}
	if got := describe(t, filepath.Join(fix, "cut")); got != describe(t, filepath.Join(middle, "cut")) {
		// cut is implied on top and explicit in the middle layer.
		t.Errorf("cut = %s", got)
	}
	if _, err := os.Stat(filepath.Join(fix, "cut/deep")); err == nil {
		t.Error("the fixup layer looks through an opaque directory")
	}
}

func describe(t *testing.T, path string) string {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Lstat(path, &st))
	return fmt.Sprintf("%o %d:%d %d.%d", st.Mode&0o7777, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec)
}

func TestFixupOfNothing(t *testing.T) {
	needRoot(t)
	bottom := dir(t, "a/f")
	must(t, unix.Chmod(bottom, 0o711))
	fix := t.TempDir()
	needed, err := survey(t, []overlay.Layer{{Lower: overlay.Lower{Path: bottom}, Implied: []string{"a"}}}).Fixup(fix)
	must(t, err)
	if needed {
		t.Error("Fixup of one layer says that something is needed")
	}
	if got := describe(t, fix); got != describe(t, bottom) {
		t.Errorf("root of the fixup layer = %s", got)
	}
}

func TestChangesOfARealMount(t *testing.T) {
	needRoot(t)
	for _, user := range []bool{false, true} {
		t.Run(fmt.Sprint("userxattr=", user), func(t *testing.T) {
			bottom := dir(t, "etc/passwd", "etc/shadow", "etc/old/x", "swap/a", "swap/b", "type", "hidden/f")
			middle := dir(t, "bin/sh")
			must(t, unix.Mknod(filepath.Join(middle, "hidden"), unix.S_IFCHR, 0))
			base := t.TempDir()
			upper, work := filepath.Join(base, "upper"), filepath.Join(base, "work")
			must(t, os.Mkdir(upper, 0o755))
			must(t, os.Mkdir(work, 0o700))
			target := mount(t, overlay.Stack{Lowers: lowers(middle, bottom), Upper: upper, Work: work, UserXattr: user})
			at := func(path string) string { return filepath.Join(target, path) }

			must(t, os.WriteFile(at("etc/passwd"), []byte("changed"), 0o644))
			must(t, os.Remove(at("etc/shadow")))
			must(t, os.RemoveAll(at("etc/old")))
			must(t, os.RemoveAll(at("swap")))
			put(t, at("swap/b"), false)
			put(t, at("swap/c"), false)
			must(t, os.Remove(at("type")))
			put(t, at("type/now-a-dir"), false)
			put(t, at("hidden/again"), false)
			put(t, at("bin/new"), false)
			put(t, at("brief"), false)
			must(t, os.Remove(at("brief")))

			var got []string
			must(t, overlay.Changes(t.Context(), upper, lowers(middle, bottom), user, func(c overlay.Change) error {
				got = append(got, string(c.Kind)+" "+c.Path)
				return nil
			}))
			want := []string{
				"C /bin", "A /bin/new",
				"C /etc", "D /etc/old", "C /etc/passwd", "D /etc/shadow",
				"A /hidden", "A /hidden/again",
				"C /swap", "D /swap/a", "C /swap/b", "A /swap/c",
				"C /type", "A /type/now-a-dir",
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("Changes (-want +got):\n%s", diff)
			}
			n, err := overlay.CountChanges(t.Context(), upper, lowers(middle, bottom), user, 5)
			if err != nil || n != 5 {
				t.Errorf("CountChanges = %d, %v", n, err)
			}
		})
	}
}

func TestThroughSymlinks(t *testing.T) {
	bottom := dir(t, "real/f", "a/dir/f")
	must(t, os.Symlink("real", filepath.Join(bottom, "lnk")))
	must(t, os.Symlink("../real", filepath.Join(bottom, "a/lnk")))
	hides := dir(t, "lnk/f")
	top := func(implied ...string) []overlay.Layer {
		return []overlay.Layer{{Lower: overlay.Lower{Path: dir(t)}, Implied: implied}, {Lower: overlay.Lower{Path: bottom}}}
	}
	tests := map[string]struct {
		layers []overlay.Layer
		want   int
	}{
		"plain":       {top(".", "real", "a", "a/dir", "new"), -1},
		"link":        {top(".", "lnk"), 0},
		"link inside": {top(".", "a", "a/lnk", "a/lnk/sub"), 0},
		"below":       {append([]overlay.Layer{{Lower: overlay.Lower{Path: dir(t)}}}, top("lnk")...), 1},
		"hidden":      {append(top("lnk")[:1], overlay.Layer{Lower: overlay.Lower{Path: hides}}, overlay.Layer{Lower: overlay.Lower{Path: bottom}}), -1},
		"one layer":   {top("lnk")[:1], -1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := survey(t, test.layers).ThroughSymlinks(); got != test.want {
				t.Errorf("ThroughSymlinks = %d, want %d", got, test.want)
			}
		})
	}
}

func survey(t *testing.T, layers []overlay.Layer) *overlay.Survey {
	t.Helper()
	s, err := overlay.NewSurvey(layers, false)
	must(t, err)
	return s
}

// TestSurveyReadsLargeDirectories: beyond a few names a directory is read, not
// asked for each, and that must find the same.
func TestSurveyReadsLargeDirectories(t *testing.T) {
	needRoot(t)
	var bottomNames, topNames, implied []string
	for i := range 100 {
		name := fmt.Sprintf("many/d%02d", i)
		implied = append(implied, name)
		topNames = append(topNames, name+"/f")
		if i%2 == 0 {
			bottomNames = append(bottomNames, name+"/")
		}
	}
	bottom, top := dir(t, bottomNames...), dir(t, topNames...)
	for _, name := range bottomNames {
		must(t, os.Chmod(filepath.Join(bottom, name), 0o700))
	}
	fix := t.TempDir()
	needed, err := survey(t, []overlay.Layer{
		{Lower: overlay.Lower{Path: top}, Implied: append(implied, "many")},
		{Lower: overlay.Lower{Path: bottom}},
	}).Fixup(fix)
	must(t, err)
	made, err := os.ReadDir(filepath.Join(fix, "many"))
	if err != nil || !needed || len(made) != len(bottomNames) {
		t.Errorf("the fixup layer has %d directories, %v; want %d", len(made), err, len(bottomNames))
	}
}
