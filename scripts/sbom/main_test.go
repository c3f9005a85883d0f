package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// The test's own binary is one that the go tool has built.
func TestDocumentOfABinary(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "86400")
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	for _, out := range []io.Writer{&first, &second} {
		if err := run(out, "tools-1", "1", []string{binary}); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("two documents of one binary differ")
	}

	var doc document
	if err := json.Unmarshal(first.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Creation.Created != "1970-01-02T00:00:00Z" {
		t.Errorf("created = %s, want $SOURCE_DATE_EPOCH", doc.Creation.Created)
	}
	stdlib := "pkg:golang/stdlib@v" + strings.TrimPrefix(runtime.Version(), "go")
	if !slices.ContainsFunc(doc.Packages, func(m module) bool { return len(m.References) == 1 && m.References[0].Locator == stdlib }) {
		t.Errorf("no package %s in %v", stdlib, doc.Packages)
	}
	valid := regexp.MustCompile(`^SPDXRef-[A-Za-z0-9.-]+$`)
	ids := map[string]bool{documentID: true, releaseID: true}
	for _, m := range doc.Packages {
		ids[m.ID] = true
	}
	for _, f := range doc.Files {
		ids[f.ID] = true
	}
	for _, r := range doc.Relationships {
		for _, id := range []string{r.Element, r.Related} {
			if !valid.MatchString(id) || !ids[id] {
				t.Errorf("relationship with %q, which is malformed or not in the document", id)
			}
		}
	}
}

func TestNotABinary(t *testing.T) {
	if err := run(io.Discard, "x", "1", []string{"main.go"}); err == nil {
		t.Error("run of a source file = nil, want an error")
	}
}
