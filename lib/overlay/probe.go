package overlay

import (
	"fmt"
	"os"
	"path/filepath"
)

// Probe tries whether an upper directory can live in the empty directory
// trial, which the caller removes: it builds a small overlay there, detached.
// The error holds the reason that the kernel gives, for overlay, FUSE and NFS file
// systems above all.
func Probe(trial string, userXattr bool) error {
	s := Stack{UserXattr: userXattr, Upper: filepath.Join(trial, "upper"), Work: filepath.Join(trial, "work")}
	lower := filepath.Join(trial, "lower")
	for _, name := range []string{lower, s.Upper, s.Work} {
		if err := os.Mkdir(name, 0o700); err != nil {
			return fmt.Errorf("try an overlay: %w", err)
		}
	}
	s.Lowers = []Lower{{Path: lower}}
	mnt, err := s.Create()
	if err != nil {
		return err
	}
	return mnt.Close()
}
