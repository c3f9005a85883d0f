package main

import (
	"archive/tar"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/scripts/internal/makeimage"
)

// shape describes an image of the bench.
type shape struct {
	name   string
	why    string
	layers int
	files  int   // regular files in all layers together
	bytes  int64 // of regular files in all layers together
	zstd   bool
	// replaced is the share of files in upper layers that replace, or
	// remove, one of a layer below.
	replaced float64
	sparse   bool // one file of all the bytes
}

var shapes = []shape{
	{name: "tiny", why: "start-up cost", layers: 1, files: 15, bytes: 2e6},
	{name: "one", why: "a distribution in one layer", layers: 1, files: 6_000, bytes: 165e6},
	{name: "big", why: "compilers and tools in 8 layers", layers: 8, files: 60_000, bytes: 1_500e6, replaced: 0.1},
	{name: "big-zstd", why: "the same, zstd", layers: 8, files: 60_000, bytes: 1_500e6, replaced: 0.1, zstd: true},
	{name: "many", why: "tiny files in 4 layers", layers: 4, files: 200_000, bytes: 200e6},
	{name: "wide", why: "many files in one layer", layers: 1, files: 60_000, bytes: 300e6},
	{name: "deep", why: "127 layers", layers: 127, files: 1_270, bytes: 20e6, replaced: 0.1},
	{name: "single", why: "one file of 4 GB", layers: 1, files: 1, bytes: 4e9, sparse: true},
}

func findShape(name string) (shape, error) {
	for _, s := range shapes {
		if s.name == name {
			return s, nil
		}
	}
	return shape{}, fmt.Errorf("no image %q", name)
}

// quick is a tenth of the image, to see whether the bench works.
func (s shape) quick() shape {
	s.name += "-quick"
	s.files = max(1, s.files/10)
	s.bytes /= 10
	return s
}

// generation is raised when the same shape gives other bytes than before, so
// that images of an older bench are not taken for it.
const generation = "3"

func (s shape) path(dir string) string { return filepath.Join(dir, s.name+"-"+generation) }

// ensure makes the layout of the image below dir, unless it is there.
func (s shape) ensure(dir string) (layout string, err error) {
	layout = s.path(dir)
	return layout, makeimage.Ensure(layout, func(w *makeimage.Writer) error {
		fmt.Fprintf(os.Stderr, "bench: make image %s\n", s.name)
		mediaType := ispec.MediaTypeImageLayerGzip
		if s.zstd {
			mediaType = ispec.MediaTypeImageLayerZstd
		}
		gen := &layerMaker{shape: s, src: newSource(uint64(len(s.name)) * 7919), taken: make(map[string]bool)}
		for i := range s.layers {
			if err := w.Layer(mediaType, 6, func(out io.Writer) error { return gen.tar(out, i) }); err != nil {
				return err
			}
		}
		return w.Tag("t")
	})
}

// layerMaker makes the layers of one image in order.
type layerMaker struct {
	shape shape
	src   *source
	known []string        // files of the layers so far
	taken map[string]bool // their names
	dirs  []string
	used  map[string]bool // of known, in the layer that is being made
}

var stamp = time.Unix(1_600_000_000, 0)

// tar writes the entries of layer i: new directories with new files, some
// files of lower layers again, and whiteouts.
func (m *layerMaker) tar(out io.Writer, i int) error {
	w := tar.NewWriter(out)
	if i == 0 {
		for _, d := range []string{"bin", "etc", "usr", "usr/lib", "usr/share", "usr/bin", "var", "opt"} {
			if err := m.directory(w, d); err != nil {
				return err
			}
		}
	}
	files := m.shape.files / m.shape.layers
	mean := m.shape.bytes / int64(m.shape.files)
	lower := len(m.known)
	// A name stands in a layer once: peers refuse one that stands there twice.
	m.used = make(map[string]bool)
	for n := range files {
		if n%24 == 0 && !m.shape.sparse {
			if err := m.directory(w, m.newDir()); err != nil {
				return err
			}
		}
		var err error
		switch chance := m.src.rng.Float64(); {
		case i > 0 && chance < m.shape.replaced/4:
			err = m.whiteout(w, m.another(lower))
		case i > 0 && chance < m.shape.replaced:
			err = m.file(w, m.another(lower), mean)
		default:
			name := fmt.Sprintf("%s/%s%d", m.dirs[len(m.dirs)-1], m.src.word(), n)
			m.known = append(m.known, name)
			m.taken[name] = true
			err = m.file(w, name, mean)
		}
		if err != nil {
			return err
		}
	}
	return w.Close()
}

// another is a file of the layers below that this layer has not touched yet.
func (m *layerMaker) another(lower int) string {
	for {
		if name := m.known[m.src.rng.IntN(lower)]; !m.used[name] {
			m.used[name] = true
			return name
		}
	}
}

func (m *layerMaker) newDir() string {
	parent := m.dirs[m.src.rng.IntN(len(m.dirs))]
	if strings.Count(parent, "/") > 7 {
		parent = "usr/share"
	}
	name := fmt.Sprintf("%s/%s%d", parent, m.src.word(), len(m.dirs))
	for m.taken[name] { // no real layer has a file and a directory of one name
		name += "d"
	}
	return name
}

func (m *layerMaker) directory(w *tar.Writer, name string) error {
	m.dirs = append(m.dirs, name)
	return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755, ModTime: stamp})
}

func (m *layerMaker) whiteout(w *tar.Writer, name string) error {
	dir, base := filepath.Split(name)
	return w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: dir + ".wh." + base, ModTime: stamp})
}

// file writes a file whose size is spread about the mean as in distributions:
// most are small, and a few hold most of the bytes.
func (m *layerMaker) file(w *tar.Writer, name string, mean int64) error {
	size := mean
	if !m.shape.sparse {
		f := m.src.rng.Float64()
		size = int64(float64(mean) * 8 * math.Pow(f, 7))
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, ModTime: stamp.Add(time.Duration(size) * time.Second), Size: size}
	if m.src.rng.IntN(12) == 0 {
		h.Mode = 0o755
	}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	const piece = 16 << 20
	for size > 0 {
		n := min(size, piece)
		if _, err := w.Write(m.src.fill(int(n))); err != nil {
			return err
		}
		size -= n
	}
	return nil
}
