package spec

import (
	"slices"
	"testing"
)

// The default filter is for the ABIs that the kernel has, whatever the caller's
// kernel had for which a document was made.
func TestSeccompForTheABIsOfTheKernel(t *testing.T) {
	in := gsInput(t)
	in.Host = fixedHost()
	withX32 := generate(t, in, Options{}).Document
	if got := withX32.strings("linux", "seccomp", "architectures"); !slices.Contains(got, "SCMP_ARCH_X32") {
		t.Errorf("a kernel with x32: architectures are %q", got)
	}
	in.Host.NoX32 = true
	without := generate(t, in, Options{}).Document
	if got := without.strings("linux", "seccomp", "architectures"); !slices.Equal(got, []string{"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"}) {
		t.Errorf("a kernel without x32: architectures are %q", got)
	}
	opt := Options{}
	opt.CapAdd = []string{"SYS_ADMIN"}
	for _, doc := range []*Document{withX32, without} {
		res, err := Filter(doc, Input{Host: in.Host, Rootfs: in.Rootfs}, opt)
		must(t, err)
		if got := res.Document.strings("linux", "seccomp", "architectures"); len(got) != 2 || len(res.Warnings) > 0 {
			t.Errorf("after --cap-add: architectures are %q, warnings %q", got, res.Warnings)
		}
	}
}
