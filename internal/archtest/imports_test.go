package archtest

import (
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// stages are the packages that do the work of a binary. They do not know each
// other: cmd composes them, so that each can be read, and used, alone.
var stages = []string{"lib/transport", "lib/layer", "lib/changeset", "lib/mtree", "lib/overlay", "lib/spec", "lib/run"}

// exceptions are the imports of one stage by another that are wanted.
var exceptions = map[[2]string]string{
	{"lib/layer", "lib/mtree"}:     "the manifest of a tree is made while the tree is written",
	{"lib/changeset", "lib/mtree"}: "a tree is compared with the manifest that it was unpacked with",
}

func TestStagesDoNotImportEachOther(t *testing.T) {
	for _, f := range sources(t, "lib") {
		from := stageOf(f.pkg)
		if f.test || from == "" {
			continue
		}
		for _, p := range f.imports() {
			rel, _ := internal(p)
			to := stageOf(rel)
			if to == "" || to == from || exceptions[[2]string{from, to}] != "" {
				continue
			}
			t.Errorf("%s: stage %s imports stage %s; let cmd compose them", f.path, from, to)
		}
	}
}

// stageOf is the stage that a package belongs to, or "".
func stageOf(pkg string) string {
	for _, s := range stages {
		if pkg == s || strings.HasPrefix(pkg, s+"/") {
			return s
		}
	}
	return ""
}

func TestLeavesImportNoStage(t *testing.T) {
	for _, f := range sources(t, "lib") {
		if f.test || stageOf(f.pkg) != "" {
			continue
		}
		for _, p := range f.imports() {
			if rel, ok := internal(p); ok && stageOf(rel) != "" {
				t.Errorf("%s: %s is used by the stages and must not import %s", f.path, f.pkg, rel)
			}
		}
	}
}

// testdata are the packages that only tests import.
var testdata = []string{"internal/testimage", "internal/faultyregistry"}

func TestLibraryDoesNotImportCommands(t *testing.T) {
	for _, f := range sources(t, "lib") {
		for _, p := range f.imports() {
			rel, ok := internal(p)
			if !ok || strings.HasPrefix(rel, "lib/") || f.test && slices.Contains(testdata, rel) {
				continue
			}
			t.Errorf("%s imports %s", f.path, rel)
		}
	}
}

func TestHeavyLibrariesHaveOneImporter(t *testing.T) {
	for _, rule := range []struct{ library, importer string }{
		{"go.podman.io/", "lib/transport"},
		{"github.com/containers/image", ""}, // deprecated; now go.podman.io/image
		{"github.com/containers/ocicrypt", "lib/transport"},
		{"github.com/urfave/cli", "lib/cli"},
	} {
		for _, f := range sources(t, "lib", "cmd", "scripts") {
			if rule.importer != "" && (f.pkg == rule.importer || strings.HasPrefix(f.pkg, rule.importer+"/")) {
				continue
			}
			for _, p := range f.imports() {
				if strings.HasPrefix(p, rule.library) {
					t.Errorf("%s imports %s, which is for %q alone", f.path, p, rule.importer)
				}
			}
		}
	}
}

// TestOnlyCopyLinksTheImageLibrary follows the imports to their end: the other
// binaries are to start in milliseconds.
func TestOnlyCopyLinksTheImageLibrary(t *testing.T) {
	top := root(t)
	commands, err := filepath.Glob(filepath.Join(top, "cmd", "oci-*"))
	if err != nil || len(commands) == 0 {
		t.Fatalf("Glob(cmd/oci-*) = %q, %v, want the commands", commands, err)
	}
	for _, dir := range commands {
		name := path.Base(dir)
		if name == "oci-copy" {
			continue
		}
		list := exec.CommandContext(t.Context(), "go", "list", "-deps", "./cmd/"+name)
		list.Dir = top
		out, err := list.Output()
		if err != nil {
			t.Fatalf("%v: %v", list, err)
		}
		for dep := range strings.Lines(string(out)) {
			if strings.HasPrefix(dep, "go.podman.io/") || strings.HasPrefix(dep, "net/http\n") {
				t.Errorf("%s links %s", name, strings.TrimSpace(dep))
			}
		}
	}
}

func TestPackageNamesSayWhatIsInside(t *testing.T) {
	vague := []string{"util", "utils", "common", "helper", "helpers", "manager", "misc", "base", "shared"}
	for _, f := range sources(t, "lib", "cmd") {
		if name := strings.TrimSuffix(f.syntax.Name.Name, "_test"); slices.Contains(vague, name) {
			t.Errorf("%s: package %s: name it after what it holds", f.path, name)
		}
	}
}
