package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// describeTree tells all that a layer can hold about each path below root, by
// plain calls that share nothing with what is tested. Times later than epoch
// count as epoch; sockets do not count.
func describeTree(t testing.TB, root string, epoch int64) map[string]string {
	t.Helper()
	tree := make(map[string]string)
	names := make(map[[2]uint64][]string)
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st syscall.Stat_t
		if err := syscall.Lstat(path, &st); err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		kind := st.Mode & syscall.S_IFMT
		if kind == syscall.S_IFSOCK {
			return nil
		}
		var b strings.Builder
		fmt.Fprintf(&b, "%o %d:%d %d", st.Mode, st.Uid, st.Gid, min(st.Mtim.Sec, epoch))
		switch kind {
		case syscall.S_IFREG:
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " size %d sha256 %x", st.Size, sha256.Sum256(data))
		case syscall.S_IFLNK:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " -> %q", target)
		case syscall.S_IFCHR, syscall.S_IFBLK:
			fmt.Fprintf(&b, " device %d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
		}
		if kind != syscall.S_IFDIR && st.Nlink > 1 {
			key := [2]uint64{st.Dev, st.Ino}
			names[key] = append(names[key], rel)
		}
		attributes, err := attributesOf(path)
		if err != nil {
			return err
		}
		tree[rel] = b.String() + attributes
		return nil
	})
	must(t, err)
	for _, same := range names {
		for _, name := range same {
			// A mount may count names that are not there any more.
			if len(same) > 1 {
				tree[name] += fmt.Sprintf(" linked to %q", same[0])
			}
		}
	}
	if len(tree) == 0 {
		t.Fatalf("%s holds nothing", root)
	}
	return tree
}

func attributesOf(path string) (string, error) {
	buf := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, buf)
	if errors.Is(err, unix.ENOTSUP) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	names := strings.Split(string(buf[:n]), "\x00")
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		if name == "" || name == "security.selinux" {
			continue
		}
		n, err := unix.Lgetxattr(path, name, buf)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, " %s=%q", name, buf[:n])
	}
	return b.String(), nil
}

// compareTrees reports each path that is not the same in both.
func compareTrees(t testing.TB, what string, got, want map[string]string) {
	t.Helper()
	for path, w := range want {
		if g, ok := got[path]; !ok {
			t.Errorf("%s: %q is missing", what, path)
		} else if g != w {
			t.Errorf("%s: %q is\n  %s, want\n  %s", what, path, g, w)
		}
	}
	for path := range got {
		if _, ok := want[path]; !ok {
			t.Errorf("%s: %q is there", what, path)
		}
	}
}
