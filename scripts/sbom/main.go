// Sbom prints what the binaries of a release are made of, as an SPDX 2.3
// document in JSON. It reads what the go tool recorded in the binaries
// themselves, so that it tells what was linked, not what go.mod asks for.
//
//	sbom -name NAME -version VERSION BINARY...
//
// The time in it is $SOURCE_DATE_EPOCH: equal binaries give an equal document.
package main

import (
	"crypto/sha1"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	name := flag.String("name", "", "`NAME` of the release")
	version := flag.String("version", "", "its `VERSION`")
	flag.Parse()
	if *name == "" || *version == "" || flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: sbom -name NAME -version VERSION BINARY...")
		os.Exit(2)
	}
	if err := run(os.Stdout, *name, *version, flag.Args()); err != nil {
		fmt.Fprintf(os.Stderr, "sbom: error: %v\n", err)
		os.Exit(1)
	}
}

// The members of an SPDX document that are used here (SPDX 2.3, clauses 6-11).
type (
	document struct {
		SPDXVersion   string         `json:"spdxVersion"`
		DataLicense   string         `json:"dataLicense"`
		ID            string         `json:"SPDXID"`
		Name          string         `json:"name"`
		Namespace     string         `json:"documentNamespace"`
		Creation      creation       `json:"creationInfo"`
		Packages      []module       `json:"packages"`
		Files         []binary       `json:"files"`
		Relationships []relationship `json:"relationships"`
	}
	creation struct {
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	module struct {
		ID               string     `json:"SPDXID"`
		Name             string     `json:"name"`
		Version          string     `json:"versionInfo"`
		DownloadLocation string     `json:"downloadLocation"`
		FilesAnalyzed    bool       `json:"filesAnalyzed"`
		References       []external `json:"externalRefs,omitempty"`
	}
	external struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	binary struct {
		ID        string     `json:"SPDXID"`
		Name      string     `json:"fileName"`
		Checksums []checksum `json:"checksums"`
	}
	checksum struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"checksumValue"`
	}
	relationship struct {
		Element string `json:"spdxElementId"`
		Type    string `json:"relationshipType"`
		Related string `json:"relatedSpdxElement"`
	}
)

const (
	documentID = "SPDXRef-DOCUMENT"
	releaseID  = "SPDXRef-Release"
)

// run writes the document of the binaries to out.
func run(out io.Writer, name, version string, binaries []string) error {
	created, err := sourceDate()
	if err != nil {
		return err
	}
	doc := document{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", ID: documentID, Name: name,
		Creation:      creation{Created: created, Creators: []string{"Tool: oci-plumbing scripts/sbom"}},
		Packages:      []module{{ID: releaseID, Name: name, Version: version, DownloadLocation: "NOASSERTION"}},
		Relationships: []relationship{{documentID, "DESCRIBES", releaseID}},
	}
	digests := sha256.New()
	for _, path := range binaries {
		if err := doc.add(path); err != nil {
			return err
		}
		digests.Write([]byte(doc.Files[len(doc.Files)-1].Checksums[1].Value))
	}
	// The namespace must differ for documents that differ.
	doc.Namespace = "https://spdx.org/spdxdocs/" + name + "-" + hex.EncodeToString(digests.Sum(nil))

	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return fmt.Errorf("write the document: %w", err)
	}
	return nil
}

// add puts a binary and the modules in it into the document.
func (d *document) add(path string) error {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read what %s is made of: %w", path, err)
	}
	sums, err := checksums(path)
	if err != nil {
		return err
	}
	file := binary{ID: id("File", filepath.Base(path)), Name: "./bin/" + filepath.Base(path), Checksums: sums}
	d.Files = append(d.Files, file)
	d.Relationships = append(d.Relationships, relationship{releaseID, "CONTAINS", file.ID})

	modules := []module{golang(info.GoVersion)}
	for _, dep := range info.Deps {
		if dep.Replace != nil {
			dep = dep.Replace
		}
		modules = append(modules, goModule(dep.Path, dep.Version))
	}
	for _, m := range modules {
		if !slices.ContainsFunc(d.Packages, func(p module) bool { return p.ID == m.ID }) {
			d.Packages = append(d.Packages, m)
		}
		d.Relationships = append(d.Relationships, relationship{file.ID, "DEPENDS_ON", m.ID})
	}
	return nil
}

// golang is the toolchain, whose standard library is in every binary.
func golang(version string) module {
	m := goModule("stdlib", "v"+strings.TrimPrefix(version, "go"))
	m.DownloadLocation = "https://go.dev/dl/"
	return m
}

func goModule(path, version string) module {
	return module{
		ID: id("Module", path+"-"+version), Name: path, Version: version, DownloadLocation: "NOASSERTION",
		References: []external{{Category: "PACKAGE-MANAGER", Type: "purl", Locator: "pkg:golang/" + path + "@" + version}},
	}
}

var notInID = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

// id makes an identifier: letters, digits, dots and dashes only.
func id(kind, name string) string {
	return "SPDXRef-" + kind + "-" + notInID.ReplaceAllString(name, "-")
}

// checksums are those of the file; SPDX wants SHA1, too (clause 8.4).
func checksums(path string) ([]checksum, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("hash: %w", err)
	}
	defer f.Close()
	weak, strong := sha1.New(), sha256.New()
	if _, err := io.Copy(io.MultiWriter(weak, strong), f); err != nil {
		return nil, fmt.Errorf("hash %s: %w", path, err)
	}
	return []checksum{
		{Algorithm: "SHA1", Value: hex.EncodeToString(weak.Sum(nil))},
		{Algorithm: "SHA256", Value: hex.EncodeToString(strong.Sum(nil))},
	}, nil
}

// sourceDate is $SOURCE_DATE_EPOCH as a date, or now.
func sourceDate() (string, error) {
	when := time.Now()
	if text := os.Getenv("SOURCE_DATE_EPOCH"); text != "" {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return "", fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
		}
		when = time.Unix(seconds, 0)
	}
	return when.UTC().Format(time.RFC3339), nil
}
