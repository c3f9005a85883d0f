package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// hostileCase is an entry of ../shared/hostile/cases.json.
type hostileCase struct {
	ID       string         `json:"id"`
	Category string         `json:"category"`
	Note     string         `json:"note"`
	Expect   string         `json:"expect"`
	Tag      string         `json:"tag"`
	Config   map[string]any `json:"config"`
}

// TestHostile makes the config.json of each hostile image that is about it.
func TestHostile(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: some of the images hold device nodes")
	}
	collection := filepath.Join("..", "..", "..", "shared", "hostile")
	data, err := os.ReadFile(filepath.Join(collection, "cases.json"))
	if err != nil {
		t.Skip("the hostile images are not here: ../shared/hostile")
	}
	var cases []hostileCase
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", work, "../oci-unpack").CombinedOutput(); err != nil {
		t.Skipf("oci-unpack cannot be built: %v: %s", err, out)
	}
	cases = slices.DeleteFunc(cases, func(c hostileCase) bool { return c.Category != "genspec" })
	extract(t, filepath.Join(collection, "layouts.tar.zst"), work, cases)
	for _, c := range cases {
		t.Run(c.ID, func(t *testing.T) { c.run(t, work) })
	}
}

// extract takes the layouts of the cases out of the archive, which is ours.
func extract(t *testing.T, archive, to string, cases []hostileCase) {
	t.Helper()
	file, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	plain, err := zstd.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	for entries := tar.NewReader(plain); ; {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(h.Name, "/")
		if h.Typeflag != tar.TypeReg || len(parts) < 2 || !slices.ContainsFunc(cases, func(c hostileCase) bool { return c.ID == parts[1] }) {
			continue
		}
		name := filepath.Join(to, filepath.FromSlash(h.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(entries)
		if err == nil {
			err = os.WriteFile(name, body, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (c hostileCase) run(t *testing.T, work string) {
	bundle := filepath.Join(t.TempDir(), "b")
	layout := filepath.Join(work, "hostile", c.ID, "layout")
	if out, err := exec.Command(filepath.Join(work, "oci-unpack"), "-q", layout+":"+c.Tag, bundle).CombinedOutput(); err != nil {
		if c.Expect == "config" {
			t.Fatalf("oci-unpack: %v: %s", err, out)
		}
		return
	}
	tool := exec.Command("oci-genspec", bundle)
	var stderr strings.Builder
	tool.Stderr = &stderr
	err := tool.Run()
	status := tool.ProcessState.ExitCode()
	refused := status == 5 || status == 3
	switch {
	case strings.Contains(stderr.String(), "goroutine "):
		t.Errorf("it panicked: %s", &stderr)
	case c.Expect == "refuse" && !refused, c.Expect == "contain" && !refused && status != 0, c.Expect == "config" && status != 0:
		t.Errorf("%s: status %d (%v), want %s: %s", c.Note, status, err, c.Expect, &stderr)
	case status == 0:
		c.compare(t, filepath.Join(bundle, "config.json"))
	default:
		if _, err := os.Stat(filepath.Join(bundle, "config.json")); err == nil {
			t.Error("it was refused, and a config.json is there")
		}
	}
}

// compare looks for the values at their dotted paths; the key of an annotation
// has dots itself. "has:X" asks for an element of a list, null for absence.
func (c hostileCase) compare(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	for where, want := range c.Config {
		path := strings.Split(where, ".")
		if key, ok := strings.CutPrefix(where, "annotations."); ok {
			path = []string{"annotations", key}
		}
		var got any = doc
		for _, key := range path {
			object, ok := got.(map[string]any)
			if !ok {
				got = nil
				break
			}
			got = object[key]
		}
		if text, ok := want.(string); ok {
			if element, ok := strings.CutPrefix(text, "has:"); ok {
				list, ok := got.([]any)
				if !ok || !slices.Contains(list, any(element)) {
					t.Errorf("%s = %v, want it to have %q", where, got, element)
				}
				continue
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s = %v, want %v", where, got, want)
		}
	}
}
