package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// treeDigest is a digest over the names, types, modes, owners, sizes, times,
// link counts, link targets and contents of a tree. A speed-up without an
// equal tree is void. The root's own time is left out: peers do not set it; the
// times of directories count when the peers can be asked for them.
func treeDigest(root string, dirTimes bool) (string, error) {
	sum := sha256.New()
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		return addEntry(sum, root, path, dirTimes)
	})
	return hex.EncodeToString(sum.Sum(nil)), err
}

// addEntry adds one file, directory or link. A hash takes any write.
func addEntry(sum hash.Hash, root, path string, dirTimes bool) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return err
	}
	rel, err := filepath.Rel(root, path)
	if err != nil {
		return err
	}
	size, links := st.Size, st.Nlink
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		size, links = 0, 0
		if !dirTimes {
			st.Mtim = unix.Timespec{}
		}
	}
	sum.Write(fmt.Appendf(nil, "%q %o %d %d %d %d %d.%d ", rel, st.Mode, st.Uid, st.Gid, size, links, st.Mtim.Sec, st.Mtim.Nsec))
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		sum.Write(fmt.Appendf(nil, "%q", target))
		return err
	case unix.S_IFREG:
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(sum, f)
		return err
	default:
		return nil
	}
}
