package layout

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// Reference names an image in a layout.
type Reference struct {
	// Dir is the absolute path of the layout.
	Dir string
	// Tag is the value of the annotation org.opencontainers.image.ref.name;
	// empty when only one image is there, or Digest names it.
	Tag string
	// Digest is that of a manifest or index; empty when not given.
	Digest digest.Digest
}

// tagGrammar is that of org.opencontainers.image.ref.name in the image-spec
// (annotations.md). It is compiled when a tag is first seen: the start of each
// tool counts in milliseconds.
var tagGrammar = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9]+(([-._:@+]|--)[A-Za-z0-9]+)*(/[A-Za-z0-9]+(([-._:@+]|--)[A-Za-z0-9]+)*)*$`)
})

// transports are those of the image library, of which only oci is ours.
var transports = []string{
	"docker://", "docker-archive:", "docker-daemon:", "oci-archive:", "containers-storage:",
	"dir:", "tarball:", "sif:", "atomic:", "ostree:", "http://", "https://",
}

// ParseReference reads oci:DIR[:TAG][@DIGEST], or the same without "oci:". The
// first colon ends DIR, as in skopeo and umoci. A reference of another
// transport is a usage error whose hint shows the pipe that works; the word
// {tool} in it stands for the name of the binary.
func ParseReference(s string) (Reference, error) {
	if line, transport := CopyLine(s); line != "" {
		err := fault.Usage("%q is not an OCI layout on disk: only oci-copy speaks %s", s, transport)
		return Reference{}, fault.Hint(err, "%s | {tool}", line)
	}
	rest := strings.TrimPrefix(s, "oci:")
	dir, tag, hasTag := strings.Cut(rest, ":")
	var ref Reference
	if before, sum, ok := cutDigest(rest); ok {
		ref.Digest = digest.Digest(sum)
		if err := CheckDigest(ref.Digest); err != nil {
			return Reference{}, fault.Usage("reference %q: %v", s, err)
		}
		dir, tag, hasTag = strings.Cut(before, ":")
	}
	switch {
	case dir == "":
		return Reference{}, fault.Usage("reference %q names no layout directory (want oci:DIR[:TAG])", s)
	case hasTag && !tagGrammar().MatchString(tag):
		return Reference{}, fault.Usage("reference %q: %q is not a valid tag", s, tag)
	case strings.ContainsRune(dir, 0):
		return Reference{}, fault.Usage("reference %q: the directory contains a NUL byte", s)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Reference{}, fmt.Errorf("reference %q: %w", s, err)
	}
	if strings.Contains(abs, ":") {
		return Reference{}, fault.Hint(fault.Usage("layout directory %q contains a colon, which a reference cannot express", abs),
			"give the directory another name, or a symbolic link without a colon")
	}
	ref.Dir, ref.Tag = abs, tag
	return ref, nil
}

// cutDigest splits a digest off the end. A tag may contain "@", so only a
// known algorithm counts.
func cutDigest(s string) (before, sum string, ok bool) {
	for _, algorithm := range []string{"@sha256:", "@sha512:"} {
		if i := strings.LastIndex(s, algorithm); i >= 0 {
			return s[:i], s[i+1:], true
		}
	}
	return "", "", false
}

// CopyLine returns the command that brings an image of another transport into
// a layout, and the name of the transport; "" for what is not one.
func CopyLine(s string) (line, transport string) {
	i := slices.IndexFunc(transports, func(t string) bool { return strings.HasPrefix(s, t) })
	if i < 0 {
		return "", ""
	}
	name := strings.TrimRight(strings.TrimPrefix(s, transports[i]), "/")
	name, _, _ = strings.Cut(filepath.Base(name), "@")
	name, _, _ = strings.Cut(name, ":")
	if !tagGrammar().MatchString(name) {
		name = "image"
	}
	return "oci-copy " + s + " oci:store:" + name, strings.TrimRight(transports[i], ":/")
}

// String is the form that ParseReference reads: oci:/abs/dir:tag@digest.
func (r Reference) String() string {
	s := "oci:" + r.Dir
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest.String()
	}
	return s
}
