package spec

import "testing"

// The ociVersion is the least that has all members in use, by the ChangeLog of
// the runtime-spec, unless an edit names one.
func TestVersionOfWhatIsInUse(t *testing.T) {
	for _, tt := range []struct {
		opt  EditOptions
		want string
	}{
		{EditOptions{Set: []string{"/hostname=x"}}, "1.0.2"},
		{EditOptions{Set: []string{"/domainname=x"}}, "1.1.0"},
		{EditOptions{Set: []string{"/linux/resources/cpu/burst=1"}}, "1.1.0"},
		{EditOptions{Set: []string{"/linux/intelRdt/enableCMT=true"}}, "1.1.0"},
		{EditOptions{Set: []string{"/linux/resources/memory/checkBeforeUpdate=true"}}, "1.1.0"},
		{EditOptions{Set: []string{`/mounts=[{"destination":"/x","options":["ridmap"]}]`}}, "1.2.0"},
		{EditOptions{Set: []string{`/process/execCPUAffinity={"initial":"0"}`}}, "1.2.1"},
		{EditOptions{Set: []string{"/linux/netDevices={}", "/domainname=x"}}, "1.3.0"},
		{EditOptions{Set: []string{"/linux/netDevices={}", "/ociVersion=1.0.2"}}, "1.0.2"},
		{EditOptions{Merges: [][]byte{[]byte(`{"ociVersion":"1.0.2","linux":{"netDevices":{}}}`)}}, "1.0.2"},
		{EditOptions{Patches: [][]byte{[]byte(`[{"op":"replace","path":"/ociVersion","value":"1.0.2"},{"op":"add","path":"/linux/netDevices","value":{}}]`)}}, "1.0.2"},
		{EditOptions{Patches: [][]byte{[]byte(`[{"op":"test","path":"/ociVersion","value":"1.0.2"},{"op":"add","path":"/linux/netDevices","value":{}}]`)}}, "1.3.0"},
	} {
		res := generate(t, gsInput(t), Options{EditOptions: tt.opt})
		if got := res.Document.text("ociVersion"); got != tt.want {
			t.Errorf("%q: ociVersion %s, want %s", tt.opt, got, tt.want)
		}
	}
}
