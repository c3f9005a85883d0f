package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRandomChanges makes random sequences of changes, commits after each some
// of them, and compares the last image with the tree. The seeds are fixed: a
// failure can be had again.
func TestRandomChanges(t *testing.T) {
	needRoot(t)
	if testing.Short() {
		t.Skip("long: several images per seed")
	}
	work := t.TempDir()
	layout := filepath.Join(work, "img")
	writeImage(t, layout, nil, baseImage()...)
	t.Setenv("SOURCE_DATE_EPOCH", strconv.Itoa(epoch))
	for seed := range uint64(6) {
		for _, route := range []string{"unpack", "mount"} {
			t.Run(fmt.Sprintf("%s %d", route, seed), func(t *testing.T) {
				dir := t.TempDir()
				bundle := filepath.Join(dir, "unpacked")
				if route == "mount" {
					bundle = mountImage(t, "oci:"+layout+":base", dir)
				} else {
					runOut(t, tool(t, "oci-unpack"), "oci:"+layout+":base", bundle)
				}
				root := filepath.Join(bundle, "rootfs")
				c := &changer{t: t, root: root, rand: rand.New(rand.NewPCG(seed, 17))}
				tag := fmt.Sprintf("oci:%s:%s%d", layout, route, seed)
				for round := range 3 {
					var done []string
					for range 12 {
						done = append(done, c.step())
					}
					mustCommit(t, bundle, tag)
					want := describeTree(t, root, epoch)
					again := filepath.Join(dir, fmt.Sprintf("again%d", round))
					runOut(t, tool(t, "oci-unpack"), tag, again)
					compareTrees(t, fmt.Sprintf("round %d", round), describeTree(t, filepath.Join(again, "rootfs"), epoch), want)
					if route == "unpack" {
						runOut(t, tool(t, "oci-unpack"), "--check", bundle)
					}
					if t.Failed() {
						t.Fatalf("after\n%s", strings.Join(done, "\n"))
					}
				}
			})
		}
	}
}

// changer makes one random change after the other.
type changer struct {
	t    *testing.T
	root string
	rand *rand.Rand
	made int
}

// pick returns a random path of the tree, by its type; "" when there is none.
func (c *changer) pick(want uint32) string {
	var paths []string
	err := filepath.WalkDir(c.root, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		if path != c.root && (want == 0 || st.Mode&unix.S_IFMT == want) {
			paths = append(paths, path)
		}
		return nil
	})
	must(c.t, err)
	slices.Sort(paths)
	if len(paths) == 0 {
		return c.root
	}
	return paths[c.rand.IntN(len(paths))]
}

// fresh is a new path in a random directory.
func (c *changer) fresh() string {
	c.made++
	return filepath.Join(c.pick(unix.S_IFDIR), fmt.Sprintf("new%d", c.made))
}

// step makes one change and says what it was.
func (c *changer) step() string {
	r := c.rand
	var what, path string
	var err error
	switch r.IntN(12) {
	case 0:
		what, path = "write", c.fresh()
		err = os.WriteFile(path, []byte(strings.Repeat("x", r.IntN(5000))), 0o644)
	case 1:
		what, path = "mkdir", c.fresh()
		err = os.Mkdir(path, 0o755)
	case 2:
		what, path = "symlink", c.fresh()
		err = os.Symlink("../target", path)
	case 3:
		what, path = "remove", c.pick(0)
		err = os.RemoveAll(path)
	case 4:
		what, path = "change", c.pick(unix.S_IFREG)
		// A new inode: in a mount the other names of a linked file are
		// split off, in a tree they are not.
		err = os.WriteFile(path+".tmp", []byte(strconv.Itoa(r.IntN(1000))), 0o600)
		if err == nil {
			err = os.Rename(path+".tmp", path)
		}
	case 5:
		what, path = "chmod", c.pick(unix.S_IFDIR)
		err = unix.Chmod(path, uint32(0o700+r.IntN(0o77)))
	case 6:
		what, path = "chown", c.pick(unix.S_IFDIR)
		err = os.Lchown(path, r.IntN(70_000), r.IntN(70_000))
	case 7:
		what, path = "replace a directory by a file", c.pick(unix.S_IFDIR)
		if err = os.RemoveAll(path); err == nil {
			err = os.WriteFile(path, []byte("was a directory"), 0o644)
		}
	case 8:
		what, path = "replace by a directory", c.pick(0)
		if err = os.RemoveAll(path); err == nil {
			if err = os.Mkdir(path, 0o711); err == nil {
				err = os.WriteFile(filepath.Join(path, "inside"), []byte("x"), 0o644)
			}
		}
	case 9:
		what, path = "set an attribute of", c.pick(unix.S_IFDIR)
		err = unix.Setxattr(path, fmt.Sprintf("user.a%d", r.IntN(3)), []byte("value"), 0)
	case 10:
		what, path = "move", c.pick(unix.S_IFDIR)
		to := filepath.Join(c.root, fmt.Sprintf("moved%d", c.made))
		c.made++
		runOut(c.t, "mv", path, to)
		path += " to " + to
	default:
		what, path = "fifo", c.fresh()
		err = unix.Mkfifo(path, 0o640)
	}
	if err != nil {
		c.t.Fatalf("%s %s: %v", what, path, err)
	}
	return what + " " + path
}
