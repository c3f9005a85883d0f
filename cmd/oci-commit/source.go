package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/bundle"
	"github.com/oci-plumbing/oci-plumbing/lib/changeset"
	"github.com/oci-plumbing/oci-plumbing/lib/durable"
	"github.com/oci-plumbing/oci-plumbing/lib/explain"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/idmap"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
)

// scratch is the name of the image without layers.
const scratch = "scratch"

// kind is what the changes are found in.
type kind int

const (
	kindImage  kind = iota // an image alone: nothing changed
	kindUpper              // a bundle of oci-mount: its upper directory
	kindRootfs             // a bundle with an mtree manifest
	kindTree               // a directory that is wholly new
	kindTar                // a ready archive
)

// source is where a commit comes from.
type source struct {
	kind   kind
	path   string // of a directory or archive; "-" is standard input
	bundle *bundle.Bundle
	state  *bundle.State // nil for umoci's bundles, and without a bundle
	umoci  *bundle.Umoci

	// parent is the image to stack on; parentDir is the layout where it
	// should be. A parent without a digest is none: scratch.
	parent    ispec.Descriptor
	parentDir string
	ref       string // how the parent was called, for messages

	uidMap, gidMap idmap.Map
	rootless       bool

	locked *os.File // keeps other commits from the bundle
}

// find makes sense of SRC and --from. src is empty when only a destination was
// given. Until release, other commits see the bundle's record as it is now;
// with LOCK_SH as how, they may read it, too.
func (s *source) find(ctx context.Context, src, from string, platform layout.Platform, how int) error {
	s.path = src
	if isImage(src) {
		if from != "" {
			return fault.Usage("--from %s and the image %s exclude each other", from, src)
		}
		return s.fromImage(ctx, src, platform)
	}
	switch {
	case from == scratch && src == "":
		s.kind = kindImage
		return nil
	case from == "" || src != "" && src != "-" && from != scratch:
		err := s.findBundle(ctx, src, how)
		if err == nil {
			return s.fromElsewhere(from)
		}
		if from == "" || !errors.Is(err, fault.ErrNotFound) {
			return err
		}
		// Not a bundle: a directory or archive to stack on an image.
		s.bundle = nil
	}
	if from != scratch {
		if err := s.fromImage(ctx, from, platform); err != nil {
			return err
		}
	}
	return s.contents()
}

// lockPatience is how long a commit waits for another of the same bundle.
const lockPatience = 10 * time.Minute

// lock takes the lock of the bundle's record. The bundle itself has one that
// oci-mount holds as long as its program runs, and that may be a commit.
func (s *source) lock(ctx context.Context, how int) error {
	f, err := os.Open(filepath.Join(s.bundle.Dir, bundle.UpperDir))
	if errors.Is(err, fs.ErrNotExist) {
		f, err = os.Open(s.bundle.Rootfs())
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // whoever reads the rootfs says so
	}
	if err != nil {
		return fmt.Errorf("lock bundle: %w", err)
	}
	s.locked = f
	err = durable.Flock(ctx, f, how, lockPatience)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fault.Hint(fault.Temporary("another oci-commit has been busy with bundle %s for %s", s.bundle.Dir, lockPatience), "see which: lsof %s", explain.Quote(f.Name()))
	}
	if err != nil {
		return fmt.Errorf("lock bundle %s: %w", s.bundle.Dir, err)
	}
	return nil
}

// release lets other commits have the bundle.
func (s *source) release() {
	if s.locked != nil {
		_ = s.locked.Close()
	}
}

// devices are those that an ordinary user could not unpack.
func (s *source) devices() map[string]changeset.Device {
	if s.state == nil {
		return nil
	}
	all := make(map[string]changeset.Device, len(s.state.Placeholders))
	for _, p := range s.state.Placeholders {
		all[p.Path] = changeset.Device{Block: p.Type == "block", Mode: p.Mode & 0o7777, Major: p.Major, Minor: p.Minor}
	}
	return all
}

// isImage reports whether the operand is a reference, with or without "oci:",
// and not the name of a bundle.
func isImage(word string) bool {
	if strings.HasPrefix(word, "oci:") {
		return true
	}
	if _, err := os.Lstat(word); err == nil || !strings.Contains(word, ":") {
		return false
	}
	ref, err := layout.ParseReference(word)
	if err != nil {
		return false
	}
	_, err = layout.Open(ref.Dir)
	return err == nil
}

// contents looks what the operand beside --from is.
func (s *source) contents() error {
	if s.path == "" {
		return nil
	}
	s.kind = kindTar
	if s.path == "-" {
		return nil
	}
	info, err := os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return fault.NotFound("%s does not exist", s.path)
	}
	if err != nil {
		return fmt.Errorf("look at %s: %w", s.path, err)
	}
	if info.IsDir() {
		s.kind = kindTree
	}
	return nil
}

// fromImage takes the parent from a reference.
func (s *source) fromImage(ctx context.Context, word string, platform layout.Platform) error {
	ref, err := layout.ParseReference(word)
	if err != nil {
		return fmt.Errorf("parent image: %w", err)
	}
	l, err := layout.Open(ref.Dir)
	if err != nil {
		return fmt.Errorf("parent image: %w", err)
	}
	img, err := l.Resolve(ctx, ref, platform)
	if errors.Is(err, fault.ErrNotFound) && platform != (layout.Platform{}) {
		// The new platform need not be one that the parent is for.
		img, err = l.Resolve(ctx, ref, layout.Platform{})
	}
	if err != nil {
		return fmt.Errorf("parent image: %w", err)
	}
	s.parent, s.parentDir, s.ref = img.Descriptor, ref.Dir, ref.String()
	return nil
}

// fromElsewhere takes the place, and nothing else, of a bundle's image from
// --from: what to stack on is recorded in the bundle.
func (s *source) fromElsewhere(from string) error {
	if from == "" {
		return nil
	}
	ref, err := layout.ParseReference(from)
	if err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	if _, err := layout.Open(ref.Dir); err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	s.parentDir = ref.Dir
	return nil
}

// findBundle reads the records of a bundle, ours or umoci's.
func (s *source) findBundle(ctx context.Context, path string, how int) error {
	if isOther(path) {
		return fault.Hint(fault.NotFound("%s is a file, and not a bundle's own", path),
			"to make an image of an archive: oci-commit --from scratch %s DST", explain.Quote(path))
	}
	b, err := bundle.Find(path)
	if err != nil {
		return err
	}
	s.bundle = b
	if err := s.lock(ctx, how); err != nil {
		return err
	}
	if s.umoci, err = b.Umoci(); err != nil {
		return err
	}
	s.state, err = b.State()
	switch {
	case err == nil:
		return s.fromState()
	case !errors.Is(err, fault.ErrNotFound):
		return err
	case s.umoci == nil:
		return fault.Hint(err, "to make an image of a plain directory: oci-commit --from scratch %s DST", explain.Quote(path))
	}
	s.kind, s.parent, s.ref = kindRootfs, s.umoci.Manifest(), "umoci's image"
	s.uidMap, s.gidMap, s.rootless = s.umoci.Map.UIDs, s.umoci.Map.GIDs, s.umoci.Map.Rootless
	return nil
}

// isOther reports whether the path is of a file that does not name the bundle
// that it lies in: an archive, most likely.
func isOther(path string) bool {
	info, err := os.Stat(path)
	own := []string{bundle.StateFile, bundle.ConfigFile, bundle.UmociFile}
	return err == nil && !info.IsDir() && !slices.Contains(own, filepath.Base(path))
}

func (s *source) fromState() error {
	if s.umoci != nil && s.umoci.Manifest().Digest != s.state.Manifest.Digest {
		// umoci repack --refresh-bundle has gone on from our bundle.
		state := *s.state
		state.Manifest, state.Mtree = s.umoci.Manifest(), bundle.MtreeName(s.umoci.Manifest())
		s.state = &state
	}
	st := s.state
	s.parent, s.ref = st.Manifest, st.Reference
	s.uidMap, s.gidMap, s.rootless = st.UIDMap, st.GIDMap, st.Rootless
	s.kind = kindRootfs
	if s.overlay() != nil {
		s.kind = kindUpper
		if st.Committed != nil {
			s.parent, s.ref = *st.Committed, "the last commit from "+s.bundle.Dir
		}
	}
	if err := s.ownerMap(); err != nil {
		return err
	}
	if ref, err := layout.ParseReference(st.Reference); err == nil {
		s.parentDir = ref.Dir
	}
	return nil
}

// ownerMap finds the owners in a bundle that an ordinary user made: what he
// owns is root's in the image. In the user namespace of such a mount, where he
// is root, they are right as they are.
func (s *source) ownerMap() error {
	byUser := s.rootless || s.userXattr() && !inUserNamespace()
	if !byUser || len(s.uidMap)+len(s.gidMap) > 0 {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Stat(s.bundle.Dir, &st); err != nil {
		return &fs.PathError{Op: "stat", Path: s.bundle.Dir, Err: err}
	}
	s.uidMap = idmap.Map{{Container: 0, Host: st.Uid, Size: 1}}
	s.gidMap = idmap.Map{{Container: 0, Host: st.Gid, Size: 1}}
	return nil
}

// userXattr reports whether the mount keeps its marks in user.overlay.*.
func (s *source) userXattr() bool {
	m := s.overlay()
	return m != nil && slices.Contains(m.Options, "userxattr")
}

// inUserNamespace reports whether the ids that this process sees are mapped.
func inUserNamespace() bool {
	data, err := os.ReadFile("/proc/self/uid_map")
	words := strings.Fields(string(data))
	return err == nil && !slices.Equal(words, []string{"0", "0", "4294967295"})
}

// overlay is the mount of a bundle of oci-mount; nil for other bundles.
func (s *source) overlay() *bundle.Mount {
	if s.state == nil {
		return nil
	}
	i := slices.IndexFunc(s.state.Mounts, func(m bundle.Mount) bool {
		return m.Target == bundle.RootfsDir && (m.Upper != "" || m.ReadOnly)
	})
	if i < 0 {
		return nil
	}
	return &s.state.Mounts[i]
}

// mtree is the path of the bundle's manifest: of the image it is based on now,
// or else the only one there.
func (s *source) mtree() (string, error) {
	if s.state != nil && s.state.Mtree != "" {
		return filepath.Join(s.bundle.Dir, filepath.Base(s.state.Mtree)), nil
	}
	path := filepath.Join(s.bundle.Dir, bundle.MtreeName(s.parent))
	if _, err := os.Lstat(path); err == nil {
		return path, nil
	}
	return "", fault.Hint(fault.NotFound("bundle %s has no manifest %s: what changed cannot be told", s.bundle.Dir, filepath.Base(path)),
		"unpack without --no-mtree; or commit the whole rootfs with --squash")
}
