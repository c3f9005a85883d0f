package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// treeDigest is a digest over the names, types, modes, owners, sizes, times,
// link counts, link targets and contents of a tree. A speed-up without an
// equal tree is void. The root's own time is left out: peers do not set it.
func treeDigest(root string) (string, error) {
	sum := sha256.New()
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
		if rel == "." {
			return nil
		}
		size, links := st.Size, st.Nlink
		if st.Mode&syscall.S_IFMT == syscall.S_IFDIR {
			size, links = 0, 0
		}
		fmt.Fprintf(sum, "%q %o %d %d %d %d %d.%d ", rel, st.Mode, st.Uid, st.Gid, size, links, st.Mtim.Sec, st.Mtim.Nsec)
		switch st.Mode & syscall.S_IFMT {
		case syscall.S_IFLNK:
			target, err := os.Readlink(path)
			fmt.Fprintf(sum, "%q", target)
			return err
		case syscall.S_IFREG:
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = io.Copy(sum, f)
			return err
		}
		return nil
	})
	return hex.EncodeToString(sum.Sum(nil)), err
}
