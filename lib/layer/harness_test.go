package layer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/oci-plumbing/oci-plumbing/internal/testimage"
)

// memory is a Source that verifies nothing: what it holds is right.
type memory map[digest.Digest][]byte

func (m memory) Blob(_ context.Context, desc ispec.Descriptor) (io.ReadCloser, error) {
	data, ok := m[desc.Digest]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// add packs an archive as a layer.
func (m memory) add(t testing.TB, plain []byte, c testimage.Compression) Layer {
	t.Helper()
	data, mediaType := testimage.Compress(t, plain, c)
	d := digest.FromBytes(data)
	m[d] = data
	return Layer{
		Descriptor: ispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))},
		DiffID:     digest.FromBytes(plain),
	}
}

// stack packs the layers.
func stack(t testing.TB, layers ...[]testimage.Entry) (memory, []Layer) {
	t.Helper()
	m := memory{}
	var all []Layer
	for _, entries := range layers {
		all = append(all, m.add(t, testimage.Tar(t, entries...), testimage.Gzip))
	}
	return m, all
}

// parse makes a layer of its short form, in the notation of the tables:
//
//	d/  f=content  a->target  h=>target  .wh.n  d/OPQ  p|  each with @mode
func parse(t testing.TB, text string) []testimage.Entry {
	t.Helper()
	var entries []testimage.Entry
	for _, word := range strings.Fields(text) {
		var opts []testimage.Opt
		if w, octal, ok := strings.Cut(word, "@"); ok {
			mode, err := strconv.ParseInt(octal, 8, 32)
			if err != nil {
				t.Fatalf("%q: %v", word, err)
			}
			word, opts = w, append(opts, testimage.Mode(mode))
		}
		switch {
		case strings.HasSuffix(word, "OPQ"):
			entries = append(entries, testimage.Opaque(strings.TrimSuffix(word, "OPQ")))
		case strings.HasSuffix(word, "/") && !strings.Contains(word, "->"):
			entries = append(entries, testimage.Dir(word, opts...))
		case strings.HasSuffix(word, "|"):
			entries = append(entries, testimage.Fifo(strings.TrimSuffix(word, "|"), opts...))
		case strings.Contains(word, "=>"):
			name, target, _ := strings.Cut(word, "=>")
			entries = append(entries, testimage.Hardlink(name, target, opts...))
		case strings.Contains(word, "->"):
			name, target, _ := strings.Cut(word, "->")
			entries = append(entries, testimage.Symlink(name, target, opts...))
		case strings.Contains(word, "="):
			name, content, _ := strings.Cut(word, "=")
			entries = append(entries, testimage.File(name, content, opts...))
		default:
			entries = append(entries, testimage.File(word, "", opts...))
		}
	}
	return entries
}

// list is the tree below root in the short form: modes only where they are
// not the usual ones, and the number of names of a file that has several.
func list(t testing.TB, root string) string {
	t.Helper()
	var words []string
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		word, usual := strings.TrimPrefix(path, root+"/"), uint32(0o644)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			word, usual = word+"/", 0o755
		case unix.S_IFREG:
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if len(data) > 0 {
				word += "=" + string(data)
			}
		case unix.S_IFLNK:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			word, usual = word+"->"+target, 0o777
		case unix.S_IFIFO:
			word += "|"
		case unix.S_IFCHR, unix.S_IFBLK:
			word += fmt.Sprintf("[%d:%d]", unix.Major(st.Rdev), unix.Minor(st.Rdev))
		}
		if st.Mode&0o7777 != usual {
			word += fmt.Sprintf("@%04o", st.Mode&0o7777)
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR && st.Nlink > 1 {
			word += fmt.Sprintf("#%d", st.Nlink)
		}
		words = append(words, word)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

// metadata is everything that two equal trees have in common.
func metadata(t testing.TB, root string) []string {
	t.Helper()
	var lines []string
	inodes := map[uint64]int{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		links := uint64(0)
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			links = st.Nlink
		}
		if _, ok := inodes[st.Ino]; !ok {
			inodes[st.Ino] = len(inodes)
		}
		line := fmt.Sprintf("%q %o %d:%d links %d inode %d rdev %d time %d.%09d", strings.TrimPrefix(path, root),
			st.Mode, st.Uid, st.Gid, links, inodes[st.Ino], st.Rdev, st.Mtim.Sec, st.Mtim.Nsec)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %s", digest.FromBytes(data))
		case unix.S_IFLNK:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" -> %q", target)
		}
		lines = append(lines, line+attributes(t, path))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func attributes(t testing.TB, path string) string {
	t.Helper()
	names := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, names)
	if errors.Is(err, unix.EOPNOTSUPP) || n == 0 {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names[:n]), "\x00"), "\x00") {
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			t.Fatal(err)
		}
		words = append(words, fmt.Sprintf("%s=%q", name, value[:n]))
	}
	slices.Sort(words)
	return " " + strings.Join(words, " ")
}

// unpackTo unpacks into a new directory below the test's, with and without
// planning across layers, checks that both give the same, and returns it.
func unpackTo(t testing.TB, m memory, layers []Layer, opt Options) (string, *Result, error) {
	t.Helper()
	dir := t.TempDir()
	root, slow := filepath.Join(dir, "rootfs"), filepath.Join(dir, "slow")
	for _, d := range []string{root, slow} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	opt.Digests, opt.Identities = true, true
	result, err := Unpack(context.Background(), m, layers, root, opt)
	opt.BottomUp = true
	other, slowErr := Unpack(context.Background(), m, layers, slow, opt)
	if (err == nil) != (slowErr == nil) {
		t.Fatalf("Unpack = %v, bottom-up: %v", err, slowErr)
	}
	if err != nil {
		return root, nil, err
	}
	if a, b := metadata(t, root), metadata(t, slow); !slices.Equal(a, b) {
		t.Fatalf("planned:\n%s\nbottom-up:\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
	}
	checkIdentities(t, root, result)
	checkIdentities(t, slow, other)
	if a, b := manifestOf(t, result), manifestOf(t, other); a != b {
		t.Fatalf("manifest planned:\n%s\nbottom-up:\n%s", a, b)
	}
	return root, result, nil
}

func manifestOf(t testing.TB, r *Result) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteManifest(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to own files as the image says")
	}
}

// at is a modification time.
func at(sec int64) testimage.Opt { return testimage.MTime(time.Unix(sec, 0)) }
