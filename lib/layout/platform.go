package layout

import (
	"runtime"
	"slices"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// Platform is what an image is for. The zero value stands for the host.
type Platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant,omitempty"`
}

// HostPlatform is linux on the architecture of this binary.
func HostPlatform() Platform {
	return Platform{OS: "linux", Architecture: runtime.GOARCH}
}

// ParsePlatform reads OS/ARCHITECTURE[/VARIANT]. The empty string is the zero
// Platform.
func ParsePlatform(s string) (Platform, error) {
	if s == "" {
		return Platform{}, nil
	}
	parts := strings.Split(s, "/")
	if len(parts) < 2 || len(parts) > 3 || slices.ContainsFunc(parts, func(p string) bool { return !isPlatformWord(p) }) {
		return Platform{}, fault.Usage("platform %q is not OS/ARCHITECTURE[/VARIANT]", s)
	}
	p := Platform{OS: parts[0], Architecture: parts[1]}
	if len(parts) == 3 {
		p.Variant = parts[2]
	}
	return p, nil
}

// isPlatformWord takes what could be an operating system, an architecture or a
// variant of one: the lists of Go, and what others add to them.
func isPlatformWord(s string) bool {
	return s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == ""
}

// String is OS/ARCHITECTURE[/VARIANT].
func (p Platform) String() string {
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// platformOf converts the spec's form.
func platformOf(p *ispec.Platform) Platform {
	return Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant}
}

// defaultVariant is what a missing variant means (containerd's and Docker's
// reading): arm64 is v8, and amd64 is v1.
func (p Platform) defaultVariant() string {
	switch {
	case p.Variant != "":
		return p.Variant
	case p.Architecture == "arm64":
		return "v8"
	case p.Architecture == "amd64":
		return "v1"
	case p.Architecture == "arm":
		return "v7"
	default:
		return ""
	}
}

// rank says how well an image for q suits p: 0 not at all, and more is better.
// Without a variant asked for, the default variant is best, and any is taken
// except a newer amd64 level than the first, which the host may lack.
func (p Platform) rank(q Platform) int {
	switch {
	case p.OS != q.OS || p.Architecture != q.Architecture:
		return 0
	case p.defaultVariant() == q.defaultVariant():
		return 3
	case p.Variant != "" || p.Architecture == "amd64":
		return 0
	case q.defaultVariant() < p.defaultVariant():
		return 2
	default:
		return 1
	}
}
