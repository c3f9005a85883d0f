package layout

import (
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

const sum = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestParseReference(t *testing.T) {
	t.Chdir("/tmp")
	for _, tc := range []struct {
		in   string
		want Reference
	}{
		{"oci:store:busybox", Reference{Dir: "/tmp/store", Tag: "busybox"}},
		{"store:busybox", Reference{Dir: "/tmp/store", Tag: "busybox"}},
		{"store", Reference{Dir: "/tmp/store"}},
		{"./store/:1.0-x", Reference{Dir: "/tmp/store", Tag: "1.0-x"}},
		{"oci:/a/b", Reference{Dir: "/a/b"}},
		{"/a:docker.io/library/busybox:latest", Reference{Dir: "/a", Tag: "docker.io/library/busybox:latest"}},
		{"/a@" + sum, Reference{Dir: "/a", Digest: digest.Digest(sum)}},
		{"/a:t@" + sum, Reference{Dir: "/a", Tag: "t", Digest: digest.Digest(sum)}},
		{"/a:t@x", Reference{Dir: "/a", Tag: "t@x"}},
	} {
		got, err := ParseReference(tc.in)
		if err != nil || got != tc.want {
			t.Errorf("ParseReference(%q) = %+v, %v, want %+v", tc.in, got, err, tc.want)
		}
		if again, err := ParseReference(got.String()); err != nil || again != got {
			t.Errorf("ParseReference(%q) = %+v, %v, want %+v", got.String(), again, err, got)
		}
	}
}

func TestParseReferenceFails(t *testing.T) {
	for _, in := range []string{"", "oci:", ":t", "oci::t", "a:", "a:-x", "a:x y", "a:x/../y", "a:x@sha256:abc", "a\x00b", "a@sha256:" + strings.Repeat("A", 64)} {
		if got, err := ParseReference(in); !errors.Is(err, fault.ErrUsage) {
			t.Errorf("ParseReference(%q) = %+v, %v, want a usage error", in, got, err)
		}
	}
}

func TestOtherTransportsGetTheWorkingPipe(t *testing.T) {
	for in, want := range map[string]string{
		"docker://busybox":                    "oci-copy docker://busybox oci:store:busybox | {tool}",
		"docker://quay.example/a/b:1@" + sum:  "oci:store:b | {tool}",
		"docker-archive:/x/img.tar":           "oci-copy docker-archive:/x/img.tar oci:store:img.tar | {tool}",
		"oci-archive:-":                       "oci:store:image | {tool}",
		"containers-storage:localhost/x:late": "oci:store:x | {tool}",
	} {
		_, err := ParseReference(in)
		hints := strings.Join(fault.Hints(err), "\n")
		if !errors.Is(err, fault.ErrUsage) || !strings.Contains(hints, want) {
			t.Errorf("ParseReference(%q) = %v, hint %q, want one with %q", in, err, hints, want)
		}
	}
}

func TestCheckDigest(t *testing.T) {
	for _, bad := range []string{
		"", ":", "sha256:", "sha256:abcd", "SHA256:" + sum[7:], strings.ToUpper(sum), sum + "a", sum + "\n", "md5:" + sum[7:],
		"sha256:../../" + sum[13:], "sha512:" + sum[7:], "sha256:" + strings.Repeat("g", 64), "sha256/" + sum[7:],
	} {
		if err := CheckDigest(digest.Digest(bad)); !errors.Is(err, fault.ErrRefused) {
			t.Errorf("CheckDigest(%q) = %v, want a refusal", bad, err)
		}
	}
	for _, good := range []string{sum, "sha512:" + strings.Repeat("ab", 64)} {
		if err := CheckDigest(digest.Digest(good)); err != nil {
			t.Errorf("CheckDigest(%q) = %v", good, err)
		}
	}
}

func FuzzParseReference(f *testing.F) {
	f.Add("oci:store:busybox")
	f.Add("/a:t@" + sum)
	f.Fuzz(func(t *testing.T, in string) {
		ref, err := ParseReference(in)
		if err != nil {
			return
		}
		if again, err := ParseReference(ref.String()); err != nil || again != ref {
			t.Fatalf("%q is %+v; its string %q is %+v, %v", in, ref, ref.String(), again, err)
		}
	})
}
