package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/oci-plumbing/oci-plumbing"

// file is a parsed Go file of this module.
type file struct {
	// path is relative to the root of the module, with slashes.
	path string
	// pkg is the directory of path.
	pkg    string
	test   bool
	syntax *ast.File
	fset   *token.FileSet
}

// root is the directory with go.mod.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	t.Fatal("no go.mod above the test's directory")
	return ""
}

// sources parses the Go files below the directories.
func sources(t *testing.T, dirs ...string) []file {
	t.Helper()
	top := root(t)
	var files []file
	for _, dir := range dirs {
		err := filepath.WalkDir(filepath.Join(top, dir), func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && d.Name() == "testdata" {
				return fs.SkipDir
			}
			if d.IsDir() || !strings.HasSuffix(name, ".go") {
				return nil
			}
			fset := token.NewFileSet()
			syntax, err := parser.ParseFile(fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(top, name)
			if err != nil {
				return err
			}
			rel = filepath.ToSlash(rel)
			files = append(files, file{
				path: rel, pkg: path.Dir(rel), test: strings.HasSuffix(rel, "_test.go"),
				syntax: syntax, fset: fset,
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(files) == 0 {
		t.Fatalf("no Go files below %q", dirs)
	}
	return files
}

// imports are the paths that the file imports.
func (f file) imports() []string {
	var paths []string
	for _, spec := range f.syntax.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			paths = append(paths, p)
		}
	}
	return paths
}

// internal cuts the module's path: "lib/pipe", or false for another module.
func internal(importPath string) (string, bool) {
	return strings.CutPrefix(importPath, module+"/")
}

// selectors calls do for each use of a name of an imported package, by the
// package's path: ("os", "Exit").
func (f file) selectors(do func(pkg, name string, pos token.Position)) {
	names := make(map[string]string)
	for _, spec := range f.syntax.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		name := path.Base(p)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = p
	}
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && names[x.Name] != "" {
			do(names[x.Name], sel.Sel.Name, f.fset.Position(sel.Pos()))
		}
		return true
	})
}
