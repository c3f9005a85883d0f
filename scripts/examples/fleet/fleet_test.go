// Package fleet tests the example of many nodes that pull from one registry.
package fleet

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/scripts/internal/makeimage"
)

func TestFleet(t *testing.T) {
	for _, program := range []string{"jq", "sha256sum"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("needs %s; install it with: apt-get install jq coreutils", program)
		}
	}
	bin := t.TempDir()
	build := exec.Command("go", "build", "-tags", "containers_image_openpgp", "-o", bin, "../../../cmd/oci-copy")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	temp := t.TempDir()
	image := filepath.Join(temp, "image")
	if err := makeimage.Ensure(image, fourLayers); err != nil {
		t.Fatal(err)
	}
	work := filepath.Join(temp, "work")
	if err := os.Mkdir(work, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("./run", "oci:"+image+":t")
	cmd.Env = append(os.Environ(), "BINDIR="+bin, "TMPDIR="+work, "CLIENTS=20")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// Four layers, the config and the manifest.
	if want := "all digests agree: 40 pulls, 6 blobs in the shared layout"; !strings.Contains(string(out), want) {
		t.Errorf("the example says:\n%s\nwant: %s", out, want)
	}
	if left, err := os.ReadDir(work); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

// fourLayers makes an image of four layers with a file of 1 MiB each.
func fourLayers(w *makeimage.Writer) error {
	for _, name := range []string{"a", "b", "c", "d"} {
		err := w.Layer(ispec.MediaTypeImageLayerGzip, 1, func(out io.Writer) error {
			content := bytes.Repeat([]byte(name), 1<<20)
			archive := tar.NewWriter(out)
			err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))})
			_, errWrite := archive.Write(content)
			return errors.Join(err, errWrite, archive.Close())
		})
		if err != nil {
			return err
		}
	}
	return w.Tag("t")
}
