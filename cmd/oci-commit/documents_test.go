package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/internal/testimage"
)

// rawImage returns the index entry, the manifest and the config of a tag as
// they lie there.
func rawImage(t testing.TB, layout, tag string) (entry ispec.Descriptor, manifest, config map[string]json.RawMessage) {
	t.Helper()
	var index ispec.Index
	readJSON(t, filepath.Join(layout, "index.json"), &index)
	for _, d := range index.Manifests {
		if d.Annotations[ispec.AnnotationRefName] != tag {
			continue
		}
		readJSON(t, filepath.Join(layout, "blobs/sha256", d.Digest.Encoded()), &manifest)
		var desc ispec.Descriptor
		must(t, json.Unmarshal(manifest["config"], &desc))
		readJSON(t, filepath.Join(layout, "blobs/sha256", desc.Digest.Encoded()), &config)
		return d, manifest, config
	}
	t.Fatalf("no tag %s in %s", tag, layout)
	return entry, nil, nil
}

// TestDockersFamilyStaysTogether: on an image of Docker's media types a layer
// of Docker's is stacked, and what the documents have beside is kept.
func TestDockersFamilyStaysTogether(t *testing.T) {
	const (
		dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
		dockerConfig   = "application/vnd.docker.container.image.v1+json"
		dockerLayer    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
	)
	layout := filepath.Join(t.TempDir(), "img")
	writeImage(t, layout, nil, []testimage.Entry{testimage.File("f", "x")})
	base, config := readImage(t, layout, "base")
	raw, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "rootfs": config.RootFS, "docker_version": "20.10", "config": map[string]any{"Tty": false},
	})
	must(t, err)
	desc := testimage.Blob(t, layout, dockerConfig, raw)
	layer := base.Layers[0]
	layer.MediaType, layer.Annotations = dockerLayer, map[string]string{"of": "the layer"}
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": dockerManifest, "layers": []any{layer}, "unknown": 12345678901234567890.0,
		"config": map[string]any{"mediaType": dockerConfig, "digest": desc.Digest, "size": desc.Size, "annotations": map[string]string{"of": "the config"}},
	})
	must(t, err)
	entry := testimage.Blob(t, layout, dockerManifest, manifest)
	entry.Platform = &ispec.Platform{OS: "linux", Architecture: "amd64"}
	entry.Annotations = map[string]string{ispec.AnnotationRefName: "docker"}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []any{entry}, "kept": "yes"})
	must(t, err)
	must(t, os.WriteFile(layout+"/index.json", index, 0o644))

	tree := filepath.Join(t.TempDir(), "tree")
	must(t, os.MkdirAll(tree, 0o755))
	must(t, os.WriteFile(tree+"/new", []byte("n"), 0o644))
	mustCommit(t, "--from", "oci:"+layout+":docker", tree, "oci:"+layout+":new")
	d, m, c := rawImage(t, layout, "new")
	if d.MediaType != dockerManifest || d.Platform == nil || d.Platform.Architecture != "amd64" {
		t.Errorf("the index has %+v, want Docker's media type and the platform", d)
	}
	var layers []ispec.Descriptor
	must(t, json.Unmarshal(m["layers"], &layers))
	if len(layers) != 2 || layers[1].MediaType != dockerLayer || layers[0].Annotations["of"] != "the layer" {
		t.Errorf("layers = %+v", layers)
	}
	if !strings.Contains(string(m["config"]), `"of":"the config"`) || !strings.Contains(string(m["config"]), dockerConfig) {
		t.Errorf("config = %s, want its annotation and media type", m["config"])
	}
	if string(c["docker_version"]) != `"20.10"` || len(m["unknown"]) == 0 {
		t.Errorf("members that we do not know are lost: %s, %s", m, c)
	}
}

// TestTheSameCommitTwice: equal changes give an equal image, in another order
// of the directory, with another umask, in another layout.
func TestTheSameCommitTwice(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1000000000")
	names := []string{"z", "a", "dir/m", "dir/b", "dir/sub/x"}
	var digests []digest.Digest
	for round := range 2 {
		work := t.TempDir()
		tree := filepath.Join(work, "tree")
		for i := range names {
			name := names[i]
			if round == 1 {
				name = names[len(names)-1-i]
			}
			path := filepath.Join(tree, name)
			must(t, os.MkdirAll(filepath.Dir(path), 0o755))
			must(t, os.WriteFile(path, []byte(strings.Repeat(name, 1000)), 0o644))
		}
		for _, compress := range []string{"gzip", "zstd", "none"} {
			mustCommit(t, "--from", "scratch", "--compress", compress, "--env", "A=1", tree, "oci:"+work+"/img:"+compress)
			entry, _, _ := rawImage(t, work+"/img", compress)
			digests = append(digests, entry.Digest)
		}
	}
	if diff := cmp.Diff(digests[:3], digests[3:]); diff != "" {
		t.Errorf("manifests of the two rounds (-first +second):\n%s", diff)
	}
}
