package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	oracle "github.com/vbatts/go-mtree"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
)

// realImages are upstream's own.
var realImages = []string{"busybox:latest", "busybox:glibc", "alpine:3.20"}

// eachReal unpacks the real images, and hands over image and bundle.
func eachReal(t *testing.T, check func(t *testing.T, image, bundle string)) {
	images := shared(t, "images")
	if os.Geteuid() != 0 {
		t.Skip("needs root, to own files as the image says")
	}
	for _, image := range realImages {
		t.Run(image, func(t *testing.T) {
			b := filepath.Join(t.TempDir(), "b")
			unpack := exec.Command("oci-unpack", filepath.Join(images, image), b)
			if out, err := unpack.CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", unpack, err, out)
			}
			check(t, filepath.Join(images, image), b)
		})
	}
}

// everything is all that two equal trees have in common.
func everything(t *testing.T, root string) []string {
	t.Helper()
	var lines []string
	inodes := map[uint64]int{}
	must(t, filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		if _, ok := inodes[st.Ino]; !ok {
			inodes[st.Ino] = len(inodes)
		}
		line := fmt.Sprintf("%q %o %d:%d inode %d time %d.%09d", strings.TrimPrefix(path, root), st.Mode, st.Uid, st.Gid, inodes[st.Ino], st.Mtim.Sec, st.Mtim.Nsec)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" links %d %s", st.Nlink, digest.FromBytes(data))
		case unix.S_IFLNK:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line += " -> " + target
		case unix.S_IFCHR, unix.S_IFBLK:
			line += fmt.Sprintf(" device %d", st.Rdev)
		}
		lines = append(lines, line+xattrsOf(t, path))
		return nil
	}))
	slices.Sort(lines)
	return lines
}

// GNU tar makes the same of the one layer that these images have.
func TestGNUTarMakesTheSame(t *testing.T) {
	eachReal(t, func(t *testing.T, image, dir string) {
		ref, err := layout.ParseReference(image)
		must(t, err)
		l, err := layout.Open(ref.Dir)
		must(t, err)
		img, err := l.Resolve(context.Background(), ref, layout.HostPlatform())
		must(t, err)
		theirs := filepath.Join(t.TempDir(), "tar")
		must(t, os.Mkdir(theirs, 0o755))
		for _, desc := range img.Manifest.Layers {
			blob, err := l.BlobPath(desc.Digest)
			must(t, err)
			tar := exec.Command("tar", "-x", "-z", "-p", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-C", theirs, "-f", blob)
			if out, err := tar.CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", tar, err, out)
			}
		}
		if diff := cmp.Diff(everything(t, theirs), everything(t, filepath.Join(dir, "rootfs"))); diff != "" {
			t.Errorf("tar (-) and oci-unpack (+):\n%s", diff)
		}
	})
}

func TestUmociMakesTheSame(t *testing.T) {
	if _, err := exec.LookPath("umoci"); err != nil {
		t.Skip("needs umoci: apt-get install umoci")
	}
	eachReal(t, func(t *testing.T, image, dir string) {
		if strings.HasSuffix(image, ":latest") {
			t.Skip("umoci takes no image for several platforms")
		}
		theirs := filepath.Join(t.TempDir(), "umoci")
		umoci := exec.Command("umoci", "unpack", "--image", image, theirs)
		if out, err := umoci.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", umoci, err, out)
		}
		if diff := cmp.Diff(everything(t, filepath.Join(theirs, "rootfs")), everything(t, filepath.Join(dir, "rootfs"))); diff != "" {
			t.Errorf("umoci (-) and oci-unpack (+):\n%s", diff)
		}
	})
}

// go-mtree, which gomtree is made of, finds the tree as the manifest says.
func TestGoMtreeAgrees(t *testing.T) {
	eachReal(t, func(t *testing.T, _, dir string) {
		state, err := (&bundle.Bundle{Dir: dir}).State()
		must(t, err)
		text, err := os.ReadFile(filepath.Join(dir, state.Mtree))
		must(t, err)
		spec, err := oracle.ParseSpec(bytes.NewReader(text))
		must(t, err)
		check := func() (found []string) {
			deltas, err := oracle.Check(filepath.Join(dir, "rootfs"), spec, nil, nil)
			must(t, err)
			for _, d := range deltas {
				for _, k := range d.Diff() {
					// As gomtree does: what only one side has is no difference.
					if k.Type() == oracle.Modified || k.Name().Prefix() == "xattr" {
						found = append(found, d.Path()+" "+string(k.Name()))
					}
				}
				if d.Type() != oracle.Modified {
					found = append(found, string(d.Type())+" "+d.Path())
				}
			}
			return found
		}
		if found := check(); len(found) > 0 {
			t.Errorf("go-mtree finds %q", found)
		}
		must(t, os.Chmod(filepath.Join(dir, "rootfs", "etc"), 0o700))
		if found := check(); !slices.Equal(found, []string{"etc mode"}) {
			t.Errorf("go-mtree finds %q after chmod, want etc mode", found)
		}
		out, err := exec.Command("oci-unpack", "--check", "--json", dir).Output()
		var d struct{ Path string }
		if json.Unmarshal(out, &d) != nil || exitStatus(err) != 1 || d.Path != "etc" {
			t.Errorf("oci-unpack --check = %q, %v", out, err)
		}
	})
}
