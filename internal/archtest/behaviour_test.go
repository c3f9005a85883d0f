package archtest

import (
	"go/ast"
	"go/token"
	"strings"
	"testing"
)

// TestLibraryNeverPrintsOrExits: what the library does is visible in its
// arguments and results alone. lib/cli is the edge of the process and hands the
// streams in.
func TestLibraryNeverPrintsOrExits(t *testing.T) {
	for _, f := range sources(t, "lib") {
		if f.test || f.pkg == "lib/cli" {
			continue
		}
		f.selectors(func(pkg, name string, pos token.Position) {
			if reason := forbidden(pkg, name); reason != "" {
				t.Errorf("%s:%d: %s.%s: the library %s", f.path, pos.Line, pkg, name, reason)
			}
		})
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if id, ok := call.Fun.(*ast.Ident); ok && (id.Name == "print" || id.Name == "println") {
				t.Errorf("%s:%d: %s: the library prints nothing", f.path, f.fset.Position(id.Pos()).Line, id.Name)
			}
			return true
		})
	}
}

// forbidden is what the library does not do, or "" when it may use the name.
func forbidden(pkg, name string) string {
	switch pkg + "." + name {
	case "os.Args", "os.Stdin":
		return "takes its input as arguments"
	case "os.Stdout", "os.Stderr", "fmt.Print", "fmt.Printf", "fmt.Println":
		return "prints nothing"
	case "os.Exit", "runtime.Goexit":
		return "does not end the process"
	}
	if pkg == "log" {
		return "does not log; return an error, or take a function to call"
	}
	if pkg == "flag" {
		return "does not know flags"
	}
	return ""
}

// TestOnlyMainEndsTheProcess: what was begun is undone on the way out of the
// command; and stdout is for records, which have a printer of their own.
func TestOnlyMainEndsTheProcess(t *testing.T) {
	for _, f := range sources(t, "cmd") {
		if f.test || strings.HasSuffix(f.path, "/main.go") {
			continue
		}
		f.selectors(func(pkg, name string, pos token.Position) {
			switch pkg + "." + name {
			case "os.Exit", "fmt.Print", "fmt.Printf", "fmt.Println":
				t.Errorf("%s:%d: %s.%s is for main.go alone", f.path, pos.Line, pkg, name)
			}
		})
	}
}

func TestMainIsShort(t *testing.T) {
	for _, f := range sources(t, "cmd") {
		if !strings.HasSuffix(f.path, "/main.go") {
			continue
		}
		if lines := f.fset.Position(f.syntax.End()).Line; lines > 40 {
			t.Errorf("%s has %d lines; main only starts the command", f.path, lines)
		}
	}
}
