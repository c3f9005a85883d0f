// Completions writes the shell completions of the tools for bash, zsh and
// fish. It asks each tool for its --help, so that what a shell offers is what
// the tool takes.
//
//	completions BINDIR OUTDIR
//
// makes OUTDIR/bash/oci-*, OUTDIR/zsh/_oci-* and OUTDIR/fish/oci-*.fish for the
// tools in BINDIR.
package main

import (
	"context"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed *.tmpl
var templates embed.FS

// shells maps a shell to the name of the file of a tool.
var shells = map[string]func(tool string) string{
	"bash": func(tool string) string { return tool },
	"zsh":  func(tool string) string { return "_" + tool },
	"fish": func(tool string) string { return tool + ".fish" },
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: completions BINDIR OUTDIR")
		os.Exit(2)
	}
	if err := generate(context.Background(), os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintf(os.Stderr, "completions: error: %v\n", err)
		os.Exit(1)
	}
}

// generate writes the completions of all tools in bin.
func generate(ctx context.Context, bin, out string) error {
	tools, err := filepath.Glob(filepath.Join(bin, "oci-*"))
	if err != nil {
		return fmt.Errorf("look for tools: %w", err)
	}
	if len(tools) == 0 {
		return fmt.Errorf("%s has no tools; make build makes them", bin)
	}
	for _, path := range tools {
		help, err := exec.CommandContext(ctx, path, "--help").Output()
		if err != nil {
			return fmt.Errorf("run %s --help: %w", path, err)
		}
		parsed, err := parseHelp(filepath.Base(path), string(help))
		if err != nil {
			return err
		}
		for shell, file := range shells {
			if err := render(parsed, shell, filepath.Join(out, shell, file(parsed.Name))); err != nil {
				return err
			}
		}
	}
	return nil
}

// render writes the completion of one tool for one shell.
func render(t tool, shell, path string) error {
	name := shell + ".tmpl"
	tmpl, err := template.New(name).Funcs(template.FuncMap{
		"quote":    func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" },
		"quoteZsh": quoteZsh,
		"function": func(s string) string { return strings.ReplaceAll(s, "-", "_") },
		"join":     func(words []string) string { return strings.Join(words, " ") },
	}).ParseFS(templates, name)
	if err != nil {
		return fmt.Errorf("read the template for %s: %w", shell, err)
	}
	var text strings.Builder
	if err := tmpl.Execute(&text, t); err != nil {
		return fmt.Errorf("make the completion of %s for %s: %w", t.Name, shell, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make the directory for %s: %w", shell, err)
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
		return fmt.Errorf("write the completion of %s: %w", t.Name, err)
	}
	return nil
}

// quoteZsh quotes a description for _arguments, where brackets and colons
// end it.
func quoteZsh(s string) string {
	return strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`, `:`, `\:`, `'`, `'\''`).Replace(s)
}
