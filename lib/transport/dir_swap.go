package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/directory"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/types"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/durable"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
)

const (
	dirManifest = "manifest.json"
	dirVersion  = "version"
)

// dirSwap puts an image into a directory in place of another one. Blobs have
// their digest as name, so that the former image stays whole until the new
// manifest.json takes the place of its own. All else in there stays.
type dirSwap struct {
	dir string
	// names are the files of the new image, mark is its manifest.json.
	names []string
	mark  fs.FileInfo
	// fresh says that the directory was not there.
	fresh bool
	// added are the names that were not there, and old has what is no more.
	added []string
	old   *durable.TempDir
}

// into moves the files from where they were made.
func (s *dirSwap) into(ctx context.Context, sys *types.SystemContext, from string) error {
	lock, err := lockDir(ctx, s.dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := checkDir(ctx, sys, s.dir); err != nil {
		return err
	}
	former := imageFiles(s.dir)
	if s.old, err = durable.MakeTempDir(s.dir, 0o700); err != nil {
		return err
	}
	if err := s.move(from, former); err != nil {
		return errors.Join(err, s.restore())
	}
	return nil
}

func (s *dirSwap) move(from string, former []string) error {
	for _, name := range manifestLast(s.names) {
		if err := s.put(from, name); err != nil {
			return err
		}
	}
	for _, name := range former {
		if slices.Contains(s.names, name) {
			continue
		}
		if err := os.Rename(filepath.Join(s.dir, name), filepath.Join(s.old.Path, name)); err != nil {
			return err
		}
	}
	return durable.SyncDir(s.dir)
}

// put moves one file, and keeps the one that it replaces.
func (s *dirSwap) put(from, name string) error {
	to, kept := filepath.Join(s.dir, name), filepath.Join(s.old.Path, name)
	err := os.Link(to, kept)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.added = append(s.added, name)
	case err != nil:
		// Not all file systems have links, nor may all files have one.
		if err := os.Rename(to, kept); err != nil {
			return err
		}
	}
	return os.Rename(filepath.Join(from, name), to)
}

// undo takes the image away again, unless others have replaced it since.
func (s *dirSwap) undo(ctx context.Context) error {
	lock, err := lockDir(ctx, s.dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	now, err := os.Lstat(filepath.Join(s.dir, dirManifest))
	if err != nil || !os.SameFile(now, s.mark) {
		return s.old.Drop()
	}
	if err := s.restore(); err != nil || !s.fresh {
		return err
	}
	// It stays where others have put something meanwhile.
	unmake([]string{s.dir})
	return nil
}

// restore brings back what was there, and removes what came.
func (s *dirSwap) restore() error {
	if s.old != nil {
		entries, err := os.ReadDir(s.old.Path)
		if err != nil {
			return err
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		for _, name := range manifestLast(names) {
			if err := os.Rename(filepath.Join(s.old.Path, name), filepath.Join(s.dir, name)); err != nil {
				return err
			}
		}
	}
	added := manifestLast(s.added)
	slices.Reverse(added)
	for _, name := range added {
		if err := os.Remove(filepath.Join(s.dir, name)); err != nil {
			return err
		}
	}
	return errors.Join(s.old.Drop(), durable.SyncDir(s.dir))
}

// manifestLast is the order in which an image becomes visible.
func manifestLast(names []string) []string {
	ordered := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == dirManifest })
	if len(ordered) < len(names) {
		ordered = append(ordered, dirManifest)
	}
	return ordered
}

// lockDir locks a directory against others that put images into it.
func lockDir(ctx context.Context, dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	err = durable.Flock(ctx, f, unix.LOCK_EX, dirPatience)
	switch {
	case err == nil, errors.Is(err, unix.ENOTSUP):
	case errors.Is(err, unix.EWOULDBLOCK):
		err = fault.Temporary("another process has locked it for %s", dirPatience)
		return nil, errors.Join(err, f.Close())
	default:
		return nil, errors.Join(fmt.Errorf("lock: %w", err), f.Close())
	}
	// Whoever locked it may have taken it away.
	ours, err := f.Stat()
	if err == nil {
		var there fs.FileInfo
		if there, err = os.Stat(dir); err == nil && !os.SameFile(ours, there) {
			err = fs.ErrNotExist
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// dirParts are the names that the library gives to the files of an image, and
// to those that it has not finished.
var dirParts = regexp.MustCompile(`^(version|manifest\.json|signature-[0-9]+|dir-put-blob[0-9]+|([a-z0-9]+-)?[0-9a-f]{64,128}(\.manifest\.json|\.signature-[0-9]+)?)$`)

// checkDir refuses a directory in which there is something, but no image nor
// parts of one.
func checkDir(ctx context.Context, sys *types.SystemContext, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	known, foreign := false, ""
	for _, e := range entries {
		switch name := e.Name(); {
		case strings.HasPrefix(name, durable.TempPrefix):
		case dirParts.MatchString(name) && e.IsDir():
			return fault.Hint(fmt.Errorf("%q in it is a directory", name), "name an empty or new directory")
		case dirParts.MatchString(name):
			known = known || name == dirVersion
		case foreign == "":
			foreign = name
		}
	}
	switch {
	case known:
		return checkVersion(ctx, sys, dir)
	case foreign != "":
		return fault.Hint(fmt.Errorf("it is not empty and holds no image: it has %q", foreign), "name an empty or new directory")
	default:
		return nil
	}
}

// checkVersion has the library look whether it knows the format.
func checkVersion(ctx context.Context, sys *types.SystemContext, dir string) error {
	ref, err := directory.NewReference(dir)
	if err != nil {
		return err
	}
	src, err := ref.NewImageSource(ctx, sys)
	if err != nil {
		return fault.Hint(err, "name an empty or new directory")
	}
	return src.Close()
}

// imageFiles are the files of the image in a directory, as its manifest names
// them. What the manifest does not tell, because it cannot be read, stays.
func imageFiles(dir string) []string {
	f := &dirFiles{dir: dir}
	f.add(dirVersion)
	f.signatures("")
	for _, instance := range f.manifest(dirManifest) {
		if name, ok := blobFile(instance); ok {
			f.signatures(name + ".")
			f.manifest(name + ".manifest.json")
		}
	}
	return f.found
}

// dirFiles collects the names of regular files that are there.
type dirFiles struct {
	dir   string
	found []string
}

func (f *dirFiles) add(name string) {
	info, err := os.Lstat(filepath.Join(f.dir, name))
	if err == nil && info.Mode().IsRegular() && !slices.Contains(f.found, name) {
		f.found = append(f.found, name)
	}
}

func (f *dirFiles) signatures(prefix string) {
	for n := 1; ; n++ {
		before := len(f.found)
		f.add(fmt.Sprintf("%ssignature-%d", prefix, n))
		if len(f.found) == before {
			return
		}
	}
}

// manifest adds a manifest and the blobs that it names, and returns the
// instances of an index.
func (f *dirFiles) manifest(name string) []digest.Digest {
	f.add(name)
	raw, err := readSmall(filepath.Join(f.dir, name))
	if err != nil {
		return nil
	}
	mediaType := manifest.GuessMIMEType(raw)
	if manifest.MIMETypeIsMultiImage(mediaType) {
		list, err := manifest.ListFromBlob(raw, mediaType)
		if err != nil {
			return nil
		}
		return list.Instances()
	}
	m, err := manifest.FromBlob(raw, mediaType)
	if err != nil {
		return nil
	}
	blobs := []types.BlobInfo{m.ConfigInfo()}
	for _, layer := range m.LayerInfos() {
		blobs = append(blobs, layer.BlobInfo)
	}
	for _, blob := range blobs {
		if name, ok := blobFile(blob.Digest); ok {
			f.add(name)
		}
	}
	return nil
}

// readSmall reads a document, which is a regular file and not too large.
func readSmall(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > layout.MaxDocument {
		return nil, errors.Join(err, fault.Refused("%s is no document", path))
	}
	return io.ReadAll(f)
}

// blobFile is the name of a blob's file.
func blobFile(d digest.Digest) (string, bool) {
	if layout.CheckDigest(d) != nil {
		return "", false
	}
	if d.Algorithm() != digest.Canonical {
		return d.Algorithm().String() + "-" + d.Encoded(), true
	}
	return d.Encoded(), true
}
