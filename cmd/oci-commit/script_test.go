package main

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/oci-plumbing/oci-plumbing/internal/testimage"
	"github.com/oci-plumbing/oci-plumbing/lib/overlay"
)

func TestScripts(t *testing.T) {
	needRoot(t)
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/script",
		Setup: func(env *testscript.Env) error { return setup(t, env) },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"layer":    cmdLayer,
			"config":   cmdConfig,
			"layers":   cmdLayers,
			"asnobody": cmdAsNobody,
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// setup makes the layout "img" with the image "base", and puts the binaries
// that make bundles on the PATH.
func setup(t *testing.T, env *testscript.Env) error {
	writeImage(t, filepath.Join(env.WorkDir, "img"), func(c *ispec.Image) {
		c.Config.Env = []string{"PATH=/bin", "HOME=/root"}
		c.Config.Cmd = []string{"sh"}
		c.Config.WorkingDir = "/work/dir"
		c.Config.Volumes = map[string]struct{}{"/volume": {}, "/some nutty/path name/ here": {}}
		c.Config.Labels = map[string]string{"kept": "yes"}
	}, baseImage()...)
	dir, err := built()
	if err != nil {
		return err
	}
	env.Setenv("PATH", dir+":"+env.Getenv("PATH"))
	env.Setenv("OCI_ROOT", filepath.Join(env.WorkDir, "root"))
	env.Setenv("SOURCE_DATE_EPOCH", "")
	if err := letNobodyIn(env, dir); err != nil {
		return err
	}
	env.Defer(func() {
		mounts, err := overlay.Mounts()
		if err != nil {
			t.Error(err)
		}
		for _, m := range mounts {
			if strings.HasPrefix(m.Target, env.WorkDir+"/") {
				_ = overlay.Unmount(m.Target, true)
			}
		}
	})
	return nil
}

// letNobodyIn lets another user reach the test's directory and the binaries,
// and gives him a home.
func letNobodyIn(env *testscript.Env, binaries string) error {
	first, _, _ := strings.Cut(strings.TrimPrefix(env.Getenv("PATH"), binaries+":"), ":")
	home := filepath.Join(env.WorkDir, "nobody")
	return errors.Join(testimage.LetNobodyIn(home, binaries, first),
		exec.Command("cp", "-r", filepath.Join(env.WorkDir, "img"), home).Run(),
		exec.Command("chown", "-R", fmt.Sprintf("%d:%d", testimage.Nobody, testimage.Nobody), home).Run())
}

// cmdAsNobody runs a command as an ordinary user in his home.
func cmdAsNobody(ts *testscript.TestScript, neg bool, args []string) {
	home := filepath.Join(ts.Getenv("WORK"), "nobody")
	cmd := testimage.AsNobody(home, []string{"PATH=" + ts.Getenv("PATH"), "OCI_ROOT=" + home + "/state"}, args...)
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	err := cmd.Run()
	if (err != nil) != neg {
		ts.Fatalf("%v: %v", args, err)
	}
}

// imageOf finds the documents of an image named LAYOUT:TAG.
func imageOf(ts *testscript.TestScript, word string) (layout string, manifest ispec.Manifest, config []byte) {
	layout, tag, _ := strings.Cut(word, ":")
	layout = ts.MkAbs(layout)
	var index ispec.Index
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(filepath.Join(layout, "index.json"))), &index))
	for _, d := range index.Manifests {
		if d.Annotations[ispec.AnnotationRefName] == tag {
			ts.Check(json.Unmarshal([]byte(ts.ReadFile(filepath.Join(layout, "blobs/sha256", d.Digest.Encoded()))), &manifest))
			config = []byte(ts.ReadFile(filepath.Join(layout, "blobs/sha256", manifest.Config.Digest.Encoded())))
			return layout, manifest, config
		}
	}
	ts.Fatalf("no tag %s in %s", tag, layout)
	return "", manifest, nil
}

// cmdLayers checks how many layers an image has: layers IMAGE N [MEDIATYPE].
func cmdLayers(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || neg {
		ts.Fatalf("usage: layers IMAGE N [MEDIATYPE]")
	}
	_, manifest, _ := imageOf(ts, args[0])
	if got := len(manifest.Layers); args[1] != string(rune('0'+got)) {
		ts.Fatalf("%s has %d layers, want %s", args[0], got, args[1])
	}
	if len(args) == 3 && manifest.Layers[len(manifest.Layers)-1].MediaType != args[2] {
		ts.Fatalf("the last layer of %s is %s, want %s", args[0], manifest.Layers[len(manifest.Layers)-1].MediaType, args[2])
	}
}

// cmdLayer checks the names in the last layer of an image: layer IMAGE NAME...
func cmdLayer(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 || neg {
		ts.Fatalf("usage: layer IMAGE NAME...")
	}
	layout, manifest, _ := imageOf(ts, args[0])
	last := manifest.Layers[len(manifest.Layers)-1]
	f, err := os.Open(filepath.Join(layout, "blobs/sha256", last.Digest.Encoded()))
	ts.Check(err)
	defer f.Close()
	var in io.Reader = f
	switch {
	case strings.HasSuffix(last.MediaType, "gzip"):
		in, err = gzip.NewReader(f)
	case strings.HasSuffix(last.MediaType, "zstd"):
		in, err = zstd.NewReader(f)
	}
	ts.Check(err)
	var names []string
	for archive := tar.NewReader(in); ; {
		hdr, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		ts.Check(err)
		names = append(names, hdr.Name)
	}
	if want := args[1:]; !reflect.DeepEqual(names, want) && len(names)+len(want) > 0 {
		ts.Fatalf("the last layer of %s holds\n%q, want\n%q", args[0], names, want)
	}
}

// cmdConfig evaluates a filter of jq on the config of an image, and matches a
// pattern: config IMAGE FILTER PATTERN. The filter "raw" is the document itself,
// since jq rounds large numbers.
func cmdConfig(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: config IMAGE FILTER PATTERN")
	}
	_, _, config := imageOf(ts, args[0])
	got := string(config)
	if args[1] != "raw" {
		jq := exec.Command("jq", "-c", args[1])
		jq.Stdin = strings.NewReader(got)
		out, err := jq.CombinedOutput()
		if err != nil {
			ts.Fatalf("%v: %v\n%s", jq, err, out)
		}
		got = strings.TrimSpace(string(out))
	}
	if regexp.MustCompile("^(?:"+args[2]+")$").MatchString(got) == neg {
		ts.Fatalf("%s of %s is\n%s, want %s", args[1], args[0], got, args[2])
	}
}
