package cmd

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	// A line of the help's list: "  -b, --bundle DIR    text".
	helpFlag = regexp.MustCompile(`(?m)^  (-.*)$`)
	// A line of a page that describes flags: "**-b**, **--bundle** *DIR*". The
	// text follows on the next line, behind a colon.
	pageFlag    = regexp.MustCompile(`(?m)^(\*\*-.*)\n+: `)
	exampleLine = regexp.MustCompile(`(?m)^  \S`)
	flagName    = regexp.MustCompile(`(^|[\s,*])(--?[A-Za-z0-9][A-Za-z0-9.-]*)`)
)

// helpFlags are the names of the flags that the help lists.
func helpFlags(t *testing.T, text string) []string {
	t.Helper()
	_, text, ok := strings.Cut(text, "\nflags:\n")
	text, _, end := strings.Cut(text, "\nexamples:\n")
	if !ok || !end {
		t.Fatal("the help has no list of flags")
	}
	var names []string
	for _, line := range helpFlag.FindAllStringSubmatch(text, -1) {
		head, _, _ := strings.Cut(line[1], "  ")
		names = append(names, flagNames(head)...)
	}
	slices.Sort(names)
	return names
}

// pageFlags are the names of the flags that the page describes.
func pageFlags(page string) []string {
	var names []string
	for _, line := range pageFlag.FindAllStringSubmatch(page, -1) {
		names = append(names, flagNames(line[1])...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func flagNames(s string) []string {
	var names []string
	for _, m := range flagName.FindAllStringSubmatch(s, -1) {
		names = append(names, m[2])
	}
	return names
}

func readPage(t *testing.T, name string) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "man", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

func TestPagesDescribeTheFlags(t *testing.T) {
	for _, tool := range tools(t) {
		t.Run(tool, func(t *testing.T) {
			want := helpFlags(t, help(t, tool))
			got := pageFlags(readPage(t, tool+".1.md"))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("flags of --help (-) and of man/%s.1.md (+):\n%s", tool, diff)
			}
		})
	}
}

func TestPagesHaveTheSameParts(t *testing.T) {
	for _, tool := range tools(t) {
		t.Run(tool, func(t *testing.T) {
			page := readPage(t, tool+".1.md")
			for _, part := range []string{"NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES", "SEE ALSO"} {
				if !regexp.MustCompile(`(?m)^#+ ` + part + `$`).MatchString(page) {
					t.Errorf("man/%s.1.md has no part %s", tool, part)
				}
			}
		})
	}
}

// TestPageReferences: a page that another one sends the reader to exists.
func TestPageReferences(t *testing.T) {
	pages, err := filepath.Glob("../man/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("Glob = %q, %v, want the pages", pages, err)
	}
	reference := regexp.MustCompile(`\*\*(oci-[a-z]+)\*\*\(([1-8])\)`)
	for _, path := range pages {
		page := readPage(t, filepath.Base(path))
		for _, m := range reference.FindAllStringSubmatch(page, -1) {
			if _, err := os.Stat(filepath.Join("..", "man", m[1]+"."+m[2]+".md")); err != nil {
				t.Errorf("%s refers to %s(%s), which does not exist", path, m[1], m[2])
			}
		}
	}
}

// TestDocumentsLinkToFiles: a relative link of a document leads somewhere.
func TestDocumentsLinkToFiles(t *testing.T) {
	var documents []string
	for _, pattern := range []string{"../*.md", "../docs/*.md", "../docs/*/*.md", "../man/*.md", "../scripts/*/*.md", "../lib/*/*.md", "../lib/*/*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, found...)
	}
	if len(documents) < 10 {
		t.Fatalf("found only %q", documents)
	}
	unfinished := regexp.MustCompile(`\b(TODO|FIXME|TBD|XXX)\b|(?i:lorem ipsum|your-org|coming soon)`)
	link := regexp.MustCompile(`\]\(([^)#]+)\)|` + "`" + `((?:scripts|man|cmd|lib)/[A-Za-z0-9_./-]+)` + "`")
	for _, path := range documents {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if word := unfinished.Find(text); word != nil {
			t.Errorf("%s is not finished: %s", path, word)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			// A link starts from the document, a name in the text from the top.
			target := filepath.Join(filepath.Dir(path), m[1])
			if m[2] != "" {
				target = filepath.Join("..", m[2])
			}
			// oci-x stands for any of the tools.
			if strings.Contains(m[1], "://") || strings.Contains(target, "oci-x") {
				continue
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s refers to %s, which does not exist", path, m[1]+m[2])
			}
		}
	}
}

func TestHelpHasThreeExamples(t *testing.T) {
	for _, tool := range tools(t) {
		text := help(t, tool)
		_, examples, _ := strings.Cut(text, "\nexamples:\n")
		examples, _, _ = strings.Cut(examples, "\n\n")
		if n := len(exampleLine.FindAllString(examples, -1)); n != 3 {
			t.Errorf("%s --help shows %d examples, want three:\n%s", tool, n, examples)
		}
	}
}
