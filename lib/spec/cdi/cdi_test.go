package cdi

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file that cannot be loaded is named: it may be the one that has the device.
func TestFilesThatCannotBeLoaded(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "broken.json")
	if err := os.WriteFile(file, []byte(`{"cdiVersion": "0.6.0", "kind": 5}`), 0o644); err != nil {
		t.Fatal(err)
	}
	_, _, err := Edits([]string{dir}, "vendor.example/class=name")
	if err == nil || !strings.Contains(err.Error(), file+": ") || !strings.Contains(err.Error(), "vendor.example/class=name") {
		t.Errorf("Edits = %v, want the device and %s", err, file)
	}
}
