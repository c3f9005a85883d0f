package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/lib/layout"
)

// Store is a cache of layers of one form.
type Store struct {
	root string
	form Form
}

// At returns the store below the directory root, which must be absolute.
// Nothing is made before something is put in.
func At(root string, form Form) *Store { return &Store{root: root, form: form} }

// Root is the directory of the store.
func (s *Store) Root() string { return s.root }

func (s *Store) path(words ...string) string {
	return filepath.Join(append([]string{s.root}, words...)...)
}

// prepare makes the directories. They are the owner's alone: layers hold
// setuid programs, which other users of the machine must not reach.
func (s *Store) prepare() error {
	if err := os.MkdirAll(filepath.Dir(s.root), 0o755); err != nil {
		return fmt.Errorf("make state directory: %w", err)
	}
	for _, dir := range []string{s.root, s.path("tmp"), s.path("roots"), s.path("mounts")} {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make state directory: %w", err)
		}
	}
	return nil
}

// Kind tells layers from merged stacks of layers.
type Kind string

// The kinds of entries.
const (
	// Layer is one layer, named by its diffID.
	Layer Kind = "layers"
	// Chain is a stack of layers merged into one, named by its chainID: for
	// layers that mean something else without those below them.
	Chain Kind = "chains"
)

// Key names an entry.
type Key struct {
	Kind   Kind
	Digest digest.Digest
}

// Entry is what the store holds for a key.
type Entry struct {
	Key
	// Path is the directory, or the image file.
	Path string
	// Image tells the erofs image file from the directory.
	Image bool
	base  string
}

// base is the path of everything that belongs to the key, but for the ending.
func (s *Store) base(key Key) (string, error) {
	if err := layout.CheckDigest(key.Digest); err != nil {
		return "", err
	}
	dir := string(key.Kind) + s.form.suffix()
	return s.path(dir, string(key.Digest.Algorithm()), key.Digest.Encoded()), nil
}

// Dir is where the entry would stand in the form of a directory.
func (s *Store) Dir(key Key) (string, error) { return s.base(key) }

const (
	imageSuffix   = ".erofs"
	sidecarSuffix = ".json"
	lockSuffix    = ".lock"
)

// Lookup finds the entry; ok is false when the store does not hold it.
func (s *Store) Lookup(key Key) (entry Entry, ok bool, err error) {
	base, err := s.base(key)
	if err != nil {
		return Entry{}, false, err
	}
	for _, image := range []bool{false, true} {
		e := Entry{Key: key, Path: base, Image: image, base: base}
		want := uint32(unix.S_IFDIR)
		if image {
			e.Path += imageSuffix
			want = unix.S_IFREG
		}
		var st unix.Stat_t
		err := unix.Lstat(e.Path, &st)
		switch {
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
			continue
		case err != nil:
			return Entry{}, false, fmt.Errorf("look for layer %s: %w", e.Path, err)
		case st.Mode&unix.S_IFMT != want:
			return Entry{}, false, fmt.Errorf("layer %s is neither a directory nor an image", e.Path)
		}
		return e, true, nil
	}
	return Entry{}, false, nil
}

// EntryAt returns the entry whose path is known from elsewhere, such as the
// list of a mount's lower directories.
func EntryAt(path string) Entry {
	base, image := strings.CutSuffix(path, imageSuffix)
	algorithm, hex := filepath.Base(filepath.Dir(base)), filepath.Base(base)
	return Entry{
		Key:  Key{Digest: digest.NewDigestFromEncoded(digest.Algorithm(algorithm), hex)},
		Path: path, Image: image, base: base,
	}
}

// Sidecar decodes what Fill was given for the entry.
func (e Entry) Sidecar(into any) error {
	data, err := readNotes(e.base + sidecarSuffix)
	if err != nil {
		return fmt.Errorf("read the notes on layer %s: %w", e.Digest, err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("read the notes on layer %s: %w", e.Digest, err)
	}
	return nil
}

// readNotes is os.ReadFile without the attempt to wait for the file in epoll,
// which costs more than reading a short one.
func readNotes(name string) ([]byte, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	return io.ReadAll(f)
}

// syncFile writes a file, or the names in a directory, to the disk.
func syncFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("sync %s: %w", name, err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", name, err)
	}
	return nil
}
