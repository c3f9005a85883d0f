package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// members are the digests of the regular files in a tar, by their names.
func members(r io.Reader, keep func(name string) io.Writer) (map[string]string, error) {
	found := make(map[string]string)
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		sum := sha256.New()
		out := io.Writer(sum)
		if w := keep(h.Name); w != nil {
			out = io.MultiWriter(sum, w)
		}
		if _, err := io.Copy(out, t); err != nil {
			return nil, err
		}
		found[h.Name] = hex.EncodeToString(sum.Sum(nil))
	}
}

// digestOf is one digest over all lines.
func digestOf(lines []string) string {
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:])
}

// copied is a digest over the blobs of dst, of which each must be what its
// name says.
func copied(r *run) (string, error) {
	dir := filepath.Join(r.work, "dst", "blobs", "sha256")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var lines []string
	for _, e := range entries {
		f, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", err
		}
		sum := sha256.New()
		_, err = io.Copy(sum, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return "", err
		}
		if hex.EncodeToString(sum.Sum(nil)) != e.Name() {
			return "", fmt.Errorf("blob %s holds something else", e.Name())
		}
		lines = append(lines, e.Name())
	}
	return digestOf(lines), nil
}

// ociArchive is a digest over the blobs of an oci-archive.
func ociArchive(r *run) (string, error) {
	f, err := os.Open(filepath.Join(r.work, "dst.tar"))
	if err != nil {
		return "", err
	}
	defer f.Close()
	found, err := members(f, func(string) io.Writer { return nil })
	if err != nil {
		return "", err
	}
	var lines []string
	for name, sum := range found {
		if strings.HasPrefix(name, "blobs/") {
			lines = append(lines, name+" "+sum)
		}
	}
	slices.Sort(lines)
	return digestOf(lines), nil
}

// dockerArchive is a digest over the config and the layers of a
// docker-archive, in the order of its manifest.json.
func dockerArchive(r *run) (string, error) {
	f, err := os.Open(filepath.Join(r.work, "dst.tar"))
	if err != nil {
		return "", err
	}
	defer f.Close()
	var manifest bytes.Buffer
	found, err := members(f, func(name string) io.Writer {
		if name == "manifest.json" {
			return &manifest
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	var images []struct {
		Config string
		Layers []string
	}
	if err := json.Unmarshal(manifest.Bytes(), &images); err != nil {
		return "", fmt.Errorf("manifest.json: %w", err)
	}
	var lines []string
	for _, image := range images {
		for _, name := range append([]string{image.Config}, image.Layers...) {
			if found[name] == "" {
				return "", fmt.Errorf("manifest.json names %s, which is not in the archive", name)
			}
			lines = append(lines, found[name])
		}
	}
	return digestOf(lines), nil
}

// topLayer is a digest over the regular files in the last layer of dst:new:
// what was changed. How it is packed is left to each.
func topLayer(r *run) (string, error) {
	dst := filepath.Join(r.work, "dst")
	var index ispec.Index
	if err := readJSON(filepath.Join(dst, "index.json"), &index); err != nil {
		return "", err
	}
	i := slices.IndexFunc(index.Manifests, func(d ispec.Descriptor) bool { return d.Annotations[ispec.AnnotationRefName] == "new" })
	if i < 0 {
		return "", errors.New("there is no tag new")
	}
	var m ispec.Manifest
	if err := readJSON(filepath.Join(dst, "blobs", "sha256", index.Manifests[i].Digest.Encoded()), &m); err != nil {
		return "", err
	}
	f, err := os.Open(filepath.Join(dst, "blobs", "sha256", m.Layers[len(m.Layers)-1].Digest.Encoded()))
	if err != nil {
		return "", err
	}
	defer f.Close()
	content, err := decompress(f)
	if err != nil {
		return "", err
	}
	found, err := members(content, func(string) io.Writer { return nil })
	if err != nil {
		return "", err
	}
	var lines []string
	for name, sum := range found {
		lines = append(lines, strings.TrimPrefix(name, "./")+" "+sum)
	}
	slices.Sort(lines)
	if len(lines) != changed {
		return "", fmt.Errorf("the new layer has %d files, %d were changed", len(lines), changed)
	}
	return digestOf(lines), nil
}

// decompress reads what the layer holds, gzip or not.
func decompress(f *os.File) (io.Reader, error) {
	var magic [2]byte
	if _, err := f.ReadAt(magic[:], 0); err != nil {
		return nil, err
	}
	if magic != [2]byte{0x1f, 0x8b} {
		return f, nil
	}
	return gzip.NewReader(f)
}

// mounted is a digest over a mounted tree, whose path is in the file "where".
func mounted(r *run) (string, error) {
	where, err := os.ReadFile(filepath.Join(r.work, "where"))
	if err != nil {
		return "", err
	}
	return treeDigest(strings.TrimSpace(string(where)), false)
}

// emptied checks that nothing is left in the cache.
func emptied(r *run) (string, error) {
	layers, err := filepath.Glob(filepath.Join(r.work, "s", "layers", "*", "*"))
	if err == nil && len(layers) > 0 {
		err = fmt.Errorf("still cached: %s", layers[0])
	}
	return "", err
}
