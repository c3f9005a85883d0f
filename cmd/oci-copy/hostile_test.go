package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestHostile copies each image of the collection. None makes oci-copy hang,
// panic, or leave something behind; and what is wrong with the parts that a
// copy reads is refused. Into a Docker archive a copy reads everything.
func TestHostile(t *testing.T) {
	collection := filepath.Join("..", "..", "..", "shared", "hostile")
	data, err := os.ReadFile(filepath.Join(collection, "cases.json"))
	if err != nil {
		t.Skip("../shared/hostile is not there")
	}
	var cases []struct {
		ID, Category, Expect, Tag string
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	program(t, "zstd", "zstd")
	layouts := t.TempDir()
	mustRun(t, "tar", "-I", "zstd", "-xf", filepath.Join(collection, "layouts.tar.zst"), "-C", layouts)
	withPolicy(t)
	for _, c := range cases {
		source := "oci:" + filepath.Join(layouts, "hostile", c.ID, "layout") + ":" + c.Tag
		mustRefuse := map[string]bool{
			"docker-archive:": c.Expect == "refuse" && (c.Category == "digest" || c.Category == "layout" || c.Category == "mediatype"),
			"oci-archive:":    c.Expect == "refuse" && c.Category == "layout",
			"oci:":            c.Expect == "refuse" && c.Category == "layout",
		}
		for transport, refuse := range mustRefuse {
			t.Run(c.ID+" "+strings.TrimSuffix(transport, ":"), func(t *testing.T) {
				work := t.TempDir()
				status, out, errs := ociCopy(t, source, transport+filepath.Join(work, "copy")+":x")
				switch {
				case refuse && status != 5 && status != 3:
					t.Errorf("status %d, want a refusal; %s", status, errs)
				case status != 0 && status != 3 && status != 5:
					t.Errorf("status %d: %s", status, errs)
				case status != 0 && out != "":
					t.Errorf("status %d, and on standard output %q", status, out)
				}
				checkLeftovers(t, work, status)
			})
		}
	}
}

// checkLeftovers finds temporary files, and archives that were refused.
func checkLeftovers(t *testing.T, work string, status int) {
	t.Helper()
	err := filepath.WalkDir(work, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasPrefix(d.Name(), ".oci") || status != 0 && path == filepath.Join(work, "copy") && !d.IsDir() {
			t.Errorf("%s is left", path)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
