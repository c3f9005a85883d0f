package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/changeset"
	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/overlay"
)

// rootfs compares the rootfs of a bundle with its manifest.
func (c *commit) rootfs(ctx context.Context, s *source, opt changeset.Options) (*changeset.Tree, error) {
	m, err := s.manifest()
	if err != nil {
		return nil, err
	}
	if !c.inv.Bool("verify") {
		if opt.Previous, err = s.record(); err != nil {
			return nil, err
		}
	}
	return changeset.Rootfs(ctx, s.bundle.Rootfs(), m, opt)
}

// manifest opens the bundle's manifest, and takes its digest.
func (s *source) manifest() (changeset.Manifest, error) {
	path, err := s.mtree()
	if err != nil {
		return changeset.Manifest{}, err
	}
	open := func() (io.ReadCloser, error) {
		f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			return nil, fmt.Errorf("open manifest: %w", err)
		}
		return f, nil
	}
	in, err := open()
	if err != nil {
		return changeset.Manifest{}, err
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, in); err != nil {
		return changeset.Manifest{}, errors.Join(fmt.Errorf("read manifest %s: %w", path, err), in.Close())
	}
	return changeset.Manifest{Open: open, SHA256: hex.EncodeToString(sum.Sum(nil))}, in.Close()
}

// record reads what the last commit or the unpacking noted; nil without it.
func (s *source) record() ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(s.bundle.Dir, changeset.SnapshotFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the bundle's record: %w", err)
	}
	return data, nil
}

// upper walks the upper directory of a mount.
func (c *commit) upper(ctx context.Context, s *source, opt changeset.Options) (*changeset.Tree, error) {
	m := s.overlay()
	if m.ReadOnly {
		return nil, nil
	}
	o, closeLowers, err := c.overlay(s)
	if err != nil {
		return nil, err
	}
	defer closeLowers()
	if opt.Previous, err = s.record(); err != nil {
		return nil, err
	}
	return changeset.Upper(ctx, o, opt)
}

// whole takes all that the rootfs shows.
func (c *commit) whole(s *source, opt changeset.Options) (*changeset.Tree, error) {
	if s.kind == kindUpper {
		return c.wholeOverlay(s, opt)
	}
	m, err := s.manifest()
	if errors.Is(err, fault.ErrNotFound) {
		c.inv.Log.Warn("%s has no manifest, which would tell what the image has: volumes and mount targets are committed, too", s.bundle.Dir)
		opt.Volumes, opt.Litter = nil, nil
		return changeset.Whole(s.bundle.Rootfs(), opt)
	}
	if err != nil {
		return nil, err
	}
	return changeset.WholeRootfs(s.bundle.Rootfs(), m, opt)
}

// wholeOverlay takes all that a mount shows. The layers of a bundle that is not
// mounted are mounted for this process alone, and read-only.
func (c *commit) wholeOverlay(s *source, opt changeset.Options) (*changeset.Tree, error) {
	mounted, err := overlay.At(s.bundle.Rootfs())
	if err != nil {
		return nil, fmt.Errorf("look at the mount: %w", err)
	}
	if mounted == nil && len(s.state.UIDMap)+len(s.state.GIDMap) > 0 {
		return nil, fault.Hint(fmt.Errorf("%s is not mounted, and has id maps", s.bundle.Dir), "mount it again: %s", s.mountAgain())
	}
	o, closeLowers, err := c.overlay(s)
	if err != nil {
		return nil, err
	}
	defer closeLowers()
	if opt.Previous, err = s.record(); err != nil {
		return nil, err
	}
	if mounted != nil {
		return changeset.WholeOverlay(s.bundle.Rootfs(), o, opt)
	}
	var stack overlay.Stack
	stack.UserXattr = o.UserXattr
	if o.Upper != "" {
		stack.Lowers = append(stack.Lowers, overlay.Lower{Path: o.Upper})
	}
	for _, f := range o.Lowers {
		stack.Lowers = append(stack.Lowers, overlay.Lower{Path: f.Name(), Mount: f})
	}
	if len(stack.Lowers) == 1 {
		return changeset.WholeOverlay(procPath(o.Lowers[0]), o, opt)
	}
	merged, err := stack.Create()
	if err != nil {
		return nil, fmt.Errorf("mount the layers: %w", err)
	}
	defer merged.Close()
	return changeset.WholeOverlay(procPath(merged), o, opt)
}

// mountAgain is the command that mounts the bundle.
func (s *source) mountAgain() string {
	return explain.Quote("oci-mount", s.state.Reference, s.bundle.Dir)
}

// procPath names an open directory that may have no other name.
func procPath(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// overlay opens the directories of the bundle's mount.
func (c *commit) overlay(s *source) (changeset.Overlay, func(), error) {
	m := s.overlay()
	// An idmapped mount has mapped layers; in a user namespace all is mapped.
	o := changeset.Overlay{UserXattr: s.userXattr(), UIDMap: s.state.UIDMap, GIDMap: s.state.GIDMap}
	if !m.ReadOnly {
		o.Upper = filepath.Join(s.bundle.Dir, m.Upper)
		if err := c.settled(s, m); err != nil {
			return o, nil, err
		}
	}
	var opened []*os.File
	closeAll := func() {
		for _, f := range opened {
			_ = f.Close()
		}
	}
	for _, path := range m.Lower {
		f, err := openLower(path)
		if err != nil {
			closeAll()
			return o, nil, err
		}
		opened = append(opened, f)
	}
	o.Lowers = opened
	return o, closeAll, nil
}

// openLower opens a cached layer: a directory, or an erofs image, which is
// mounted for this process alone.
func openLower(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Hint(fault.NotFound("layer %s, on which the bundle was mounted, is gone", path),
			"mount the image again into another bundle: the cache is filled anew")
	}
	if err != nil {
		return nil, fmt.Errorf("open layer: %w", err)
	}
	if info.Mode().IsRegular() {
		lower, err := overlay.OpenErofs(path)
		if err != nil {
			return nil, fmt.Errorf("open layer: %w", err)
		}
		return lower.Mount, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open layer: %w", err)
	}
	return f, nil
}

// dirtyMark is where the kernel notes that a volatile upper was in use
// (overlayfs.rst, "Volatile mount").
var dirtyMark = filepath.Join("work", "incompat", "volatile", "dirty")

// settled makes sure that the upper is what the user sees: a live mount is
// synced, and one that a crash may have cut off is refused.
func (c *commit) settled(s *source, m *bundle.Mount) error {
	upper := filepath.Join(s.bundle.Dir, m.Upper)
	mounted, err := overlay.At(s.bundle.Rootfs())
	if err != nil {
		return fmt.Errorf("look at the mount: %w", err)
	}
	if mounted == nil && !c.inv.Bool("force") {
		if _, err := os.Lstat(filepath.Join(s.bundle.Dir, m.Work, dirtyMark)); err == nil {
			return fault.Hint(fmt.Errorf("%s is of a volatile mount that is gone: after a crash its files may be damaged", upper),
				"--force commits it all the same")
		}
	}
	if slices.ContainsFunc(s.state.Mounts, func(other bundle.Mount) bool { return other.Target == m.Upper }) {
		same, err := sameDevice(upper, s.bundle.Dir)
		if err != nil {
			return err
		}
		if same {
			return fault.NotFound("the changes of %s were in memory, and are gone with its mount", s.bundle.Dir)
		}
	}
	if mounted == nil {
		return nil
	}
	f, err := os.Open(upper)
	if err != nil {
		return fmt.Errorf("open upper directory: %w", err)
	}
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		err = fmt.Errorf("sync %s: %w", upper, err)
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

func sameDevice(a, b string) (bool, error) {
	var x, y unix.Stat_t
	if err := unix.Stat(a, &x); err != nil {
		return false, &fs.PathError{Op: "stat", Path: a, Err: err}
	}
	if err := unix.Stat(b, &y); err != nil {
		return false, &fs.PathError{Op: "stat", Path: b, Err: err}
	}
	return x.Dev == y.Dev, nil
}

// engineLitter is what engines and runtimes make in a rootfs to mount on,
// beside what config.json tells.
var engineLitter = []string{
	"/proc", "/sys", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/console", "/etc/resolv.conf", "/etc/hosts",
	"/etc/hostname", "/run", "/run/.containerenv", "/run/secrets", "/.dockerenv",
}

// litter lists the paths that are not committed when they are new and empty.
func (s *source) litter(workingDir string) ([]string, error) {
	list := slices.Clone(engineLitter)
	if workingDir != "" {
		list = append(list, parents(workingDir)...)
	}
	data, err := os.ReadFile(s.bundle.Config())
	if errors.Is(err, fs.ErrNotExist) {
		return list, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the bundle's config: %w", err)
	}
	var spec rspec.Spec
	if err := json.Unmarshal(data, &spec); err != nil {
		return nil, fault.Refused("%s: %w", s.bundle.Config(), err)
	}
	for _, m := range spec.Mounts {
		list = append(list, parents(m.Destination)...)
	}
	if spec.Process != nil && spec.Process.Cwd != "" {
		list = append(list, parents(spec.Process.Cwd)...)
	}
	return list, nil
}

// parents are the path and the directories above it, which a runtime makes,
// too.
func parents(path string) []string {
	var list []string
	for path = filepath.Clean("/" + path); path != "/"; path = filepath.Dir(path) {
		list = append(list, path)
	}
	return list
}
