package transport_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/sylabs/sif/v2/pkg/sif"

	"github.com/oci-plumbing/oci-plumbing/internal/testimage"
	"github.com/oci-plumbing/oci-plumbing/lib/fault"
	"github.com/oci-plumbing/oci-plumbing/lib/layout"
	"github.com/oci-plumbing/oci-plumbing/lib/transport"
)

// imported copies a source that is no OCI image into a layout, and opens it.
func imported(t *testing.T, src string) (*layout.Layout, *layout.Image) {
	t.Helper()
	store := filepath.Join(t.TempDir(), "store")
	if _, err := newCopier(t, transport.Options{}).Copy(context.Background(), src, "oci:"+store+":x"); err != nil {
		t.Fatal(err)
	}
	l, err := layout.Open(store)
	if err != nil {
		t.Fatal(err)
	}
	img, err := l.Resolve(context.Background(), layout.Reference{Dir: store, Tag: "x"}, layout.Platform{})
	if err != nil {
		t.Fatal(err)
	}
	return l, img
}

// listed are the paths in a layer of a layout, as tar sees them.
func listed(t *testing.T, l *layout.Layout, blob digest.Digest) string {
	t.Helper()
	path, err := l.BlobPath(blob)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("tar", "tzf", path).CombinedOutput()
	if err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	return string(out)
}

// Tar archives become the layers of an image, compressed ones as they are.
func TestTarballSource(t *testing.T) {
	t.Parallel()
	plain := testimage.Tar(t, testimage.Dir("etc"), testimage.File("etc/first", "1"))
	second := testimage.Tar(t, testimage.File("second", "2"))
	compressed, _ := testimage.Compress(t, second, testimage.Gzip)
	work := t.TempDir()
	a, b := filepath.Join(work, "a.tar"), filepath.Join(work, "b.tar.gz")
	write(t, a, string(plain))
	write(t, b, string(compressed))
	l, img := imported(t, "tarball:"+a+":"+b)
	want := []digest.Digest{digest.FromBytes(plain), digest.FromBytes(second)}
	if got := img.Config.RootFS.DiffIDs; len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Fatalf("diff_ids %v, want %v", got, want)
	}
	if img.Config.Architecture != runtime.GOARCH || img.Config.OS != "linux" {
		t.Errorf("it is for %s/%s", img.Config.OS, img.Config.Architecture)
	}
	if got := listed(t, l, img.Manifest.Layers[0].Digest); !strings.Contains(got, "etc/first\n") {
		t.Errorf("the first layer has %q", got)
	}
	if got := img.Manifest.Layers[1].Digest; got != digest.FromBytes(compressed) {
		t.Errorf("the compressed layer has become %s", got)
	}
	_, err := newCopier(t, transport.Options{}).Copy(context.Background(), "tarball:"+work+"/none", "oci:"+work+"/s:x")
	if !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("a tarball that is not there: %v", err)
	}
}

// A SIF image, the format of Apptainer, becomes one layer with the files of its
// squashfs, and a script that does what its definition says.
func TestSIFSource(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"mksquashfs", "unsquashfs", "fakeroot"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is missing: apt-get install squashfs-tools fakeroot", program)
		}
	}
	work := t.TempDir()
	root, squashed, path := filepath.Join(work, "root"), filepath.Join(work, "squash"), filepath.Join(work, "image.sif")
	if err := os.MkdirAll(filepath.Join(root, "opt", "tool"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "opt", "tool", "data"), "inside")
	if out, err := exec.Command("mksquashfs", root, squashed, "-no-progress", "-quiet").CombinedOutput(); err != nil {
		t.Fatalf("mksquashfs: %v\n%s", err, out)
	}
	partition, err := os.Open(squashed)
	if err != nil {
		t.Fatal(err)
	}
	defer partition.Close()
	definition, err := sif.NewDescriptorInput(sif.DataDeffile, strings.NewReader("%runscript\necho it runs\n"))
	if err != nil {
		t.Fatal(err)
	}
	system, err := sif.NewDescriptorInput(sif.DataPartition, partition, sif.OptPartitionMetadata(sif.FsSquash, sif.PartPrimSys, runtime.GOARCH))
	if err != nil {
		t.Fatal(err)
	}
	image, err := sif.CreateContainerAtPath(path, sif.OptCreateDeterministic(), sif.OptCreateWithDescriptors(definition, system))
	if err != nil {
		t.Fatal(err)
	}
	if err := image.UnloadContainer(); err != nil {
		t.Fatal(err)
	}

	l, img := imported(t, "sif:"+path)
	files := listed(t, l, img.Manifest.Layers[0].Digest)
	for _, want := range []string{"./opt/tool/data\n", "./podman/runscript\n"} {
		if !strings.Contains(files, want) {
			t.Errorf("the layer lacks %q: %q", want, files)
		}
	}
	if img.Config.Architecture != runtime.GOARCH || strings.Join(img.Config.Config.Cmd, " ") != "/podman/runscript" {
		t.Errorf("config: for %s, command %q", img.Config.Architecture, img.Config.Config.Cmd)
	}
	write(t, path, "no SIF at all")
	if _, err := newCopier(t, transport.Options{}).Copy(context.Background(), "sif:"+path, "oci:"+work+"/s:x"); !errors.Is(err, fault.ErrRefused) {
		t.Errorf("a file that is no SIF: %v", err)
	}
}
