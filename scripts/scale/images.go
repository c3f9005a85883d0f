package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"github.com/klauspost/compress/gzip"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/scripts/internal/makeimage"
	"github.com/oci-plumbing/oci-plumbing/scripts/internal/measure"
)

var stamp = time.Unix(1_600_000_000, 0)

// layer adds a gzip layer of what fill writes.
func layer(w *makeimage.Writer, fill func(*tar.Writer) error) error {
	return w.Layer(ispec.MediaTypeImageLayerGzip, gzip.BestSpeed, func(out io.Writer) error {
		t := tar.NewWriter(out)
		return errors.Join(fill(t), t.Close())
	})
}

func directory(t *tar.Writer, name string) error {
	return t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755, ModTime: stamp})
}

func file(t *tar.Writer, name string, content []byte) error {
	if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: stamp}); err != nil {
		return err
	}
	_, err := t.Write(content)
	return err
}

// noise are size bytes that do not compress, the same for a seed on every
// machine.
func noise(seed uint64, size int) []byte {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	out := make([]byte, size)
	_, _ = rand.NewChaCha8(key).Read(out) // it never fails
	return out
}

// layers makes an image of n layers, each with 10 files of 1 KiB, of which two
// replace files of the layer below.
func layers(dir string, n int64) error { return stack(dir, n, true) }

// bare is the same from archives without entries for the directories that are
// in a layer below, as some builders write them.
func bare(dir string, n int64) error { return stack(dir, n, false) }

func stack(dir string, n int64, parents bool) error {
	return makeimage.Ensure(dir, func(w *makeimage.Writer) error {
		for i := range n {
			err := layer(w, func(t *tar.Writer) error {
				var err error
				if parents && i > 0 {
					err = directory(t, fmt.Sprintf("d%d", i-1))
				}
				err = errors.Join(err, directory(t, fmt.Sprintf("d%d", i)))
				for f := range int64(10) {
					owner := i
					if f < 2 && i > 0 {
						owner = i - 1
					}
					err = errors.Join(err, file(t, fmt.Sprintf("d%d/f%d", owner, f), noise(uint64(i*10+f), 1024)))
				}
				return err
			})
			if err != nil {
				return err
			}
		}
		return w.Tag("t")
	})
}

// files makes an image of n files of 0 to 1 KiB, 100 in a directory.
func files(dir string, n int64) error {
	return makeimage.Ensure(dir, func(w *makeimage.Writer) error {
		content := noise(7, 1024)
		err := layer(w, func(t *tar.Writer) error {
			for i := range n {
				if i%100 == 0 {
					if err := directory(t, fmt.Sprintf("d%d", i/100)); err != nil {
						return err
					}
				}
				if err := file(t, fmt.Sprintf("d%d/f%d", i/100, i), content[:i*37%1024]); err != nil {
					return err
				}
			}
			return nil
		})
		return errors.Join(err, w.Tag("t"))
	})
}

// size makes an image with one file of n bytes.
func size(dir string, n int64) error {
	return makeimage.Ensure(dir, func(w *makeimage.Writer) error {
		err := layer(w, func(t *tar.Writer) error {
			if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "file", Mode: 0o644, Size: n, ModTime: stamp}); err != nil {
				return err
			}
			const piece = 1 << 20
			zeros := make([]byte, piece)
			for done := int64(0); done < n; {
				block := zeros
				if done/piece%16 == 0 {
					block = noise(uint64(done), piece)
				}
				m, err := t.Write(block[:min(piece, n-done)])
				if err != nil {
					return err
				}
				done += int64(m)
			}
			return nil
		})
		return errors.Join(err, w.Tag("t"))
	})
}

// tags makes a layout of n tags, "t" and t1 to t(n-1), which share a layer.
func tags(dir string, n int64) error {
	return makeimage.Ensure(dir, func(w *makeimage.Writer) error {
		if err := layer(w, func(t *tar.Writer) error { return file(t, "file", noise(1, 1024)) }); err != nil {
			return err
		}
		for i := range n {
			tag := "t"
			if i > 0 {
				tag = fmt.Sprintf("t%d", i)
			}
			w.Manifest.Annotations = map[string]string{"org.example.number": tag}
			if err := w.Tag(tag); err != nil {
				return err
			}
		}
		return nil
	})
}

// busybox is the image of the labs.
func busybox(dir string, _ int64) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	return measure.Command("scripts/lab-image", dir)
}
