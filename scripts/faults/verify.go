package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// verifyLayout checks a layout without lib/layout: strict enough JSON, each
// descriptor's blob there and true, no file under a digest that is not its
// own, and all the tags. With tidy nothing else may lie in the layout.
func verifyLayout(dir string, tags []string, tidy bool) error {
	var marker struct {
		Version string `json:"imageLayoutVersion"`
	}
	if err := readJSON(filepath.Join(dir, "oci-layout"), &marker); err != nil {
		return err
	}
	var index struct {
		Manifests []descriptor `json:"manifests"`
	}
	if err := readJSON(filepath.Join(dir, "index.json"), &index); err != nil {
		return err
	}
	var found []string
	for _, d := range index.Manifests {
		found = append(found, d.Annotations["org.opencontainers.image.ref.name"])
		if err := verifyManifest(dir, d); err != nil {
			return err
		}
	}
	for _, tag := range tags {
		if !slices.Contains(found, tag) {
			return fmt.Errorf("layout lost the tag %q: it has %q", tag, found)
		}
	}
	return errors.Join(verifyBlobs(dir), verifyTidy(dir, tidy))
}

type descriptor struct {
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations"`
}

func verifyManifest(dir string, d descriptor) error {
	var manifest struct {
		Config descriptor   `json:"config"`
		Layers []descriptor `json:"layers"`
	}
	path, err := blobPath(dir, d)
	if err != nil {
		return err
	}
	if err := readJSON(path, &manifest); err != nil {
		return err
	}
	for _, part := range append(manifest.Layers, manifest.Config) {
		if _, err := blobPath(dir, part); err != nil {
			return err
		}
	}
	return nil
}

func blobPath(dir string, d descriptor) (string, error) {
	path := filepath.Join(dir, "blobs", "sha256", strings.TrimPrefix(d.Digest, "sha256:"))
	info, err := os.Stat(path)
	if err == nil && info.Size() != d.Size {
		err = fmt.Errorf("blob %s has %d bytes, not %d", d.Digest, info.Size(), d.Size)
	}
	return path, err
}

func verifyBlobs(dir string) error {
	blobs, err := os.ReadDir(filepath.Join(dir, "blobs", "sha256"))
	if err != nil {
		return err
	}
	for _, b := range blobs {
		data, err := os.ReadFile(filepath.Join(dir, "blobs", "sha256", b.Name()))
		if err != nil {
			return err
		}
		if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != b.Name() {
			return fmt.Errorf("blob %s holds something else", b.Name())
		}
	}
	return nil
}

func verifyTidy(dir string, tidy bool) error {
	if !tidy {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !slices.Contains([]string{"blobs", "index.json", "oci-layout"}, e.Name()) {
			return fmt.Errorf("left in the layout: %s", e.Name())
		}
	}
	return nil
}

func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// tagged is the digest of the manifest that has the tag; empty when none has.
func tagged(dir, tag string) (string, error) {
	var index struct {
		Manifests []descriptor `json:"manifests"`
	}
	if err := readJSON(filepath.Join(dir, "index.json"), &index); err != nil {
		return "", err
	}
	for _, d := range index.Manifests {
		if d.Annotations["org.opencontainers.image.ref.name"] == tag {
			return d.Digest, nil
		}
	}
	return "", nil
}
