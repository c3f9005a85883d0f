package spec

import (
	"slices"
	"testing"
)

// The container may write to its cgroups when their path is unmasked, and only
// below version 2.
func TestUnmaskCgroups(t *testing.T) {
	for _, c := range []struct {
		option string
		v2     bool
		want   string
	}{
		{"unmask=ALL", true, "rw"},
		{"unmask=all", true, "rw"},
		{"unmask=/proc/acpi:/sys/fs/cgroup/", true, "rw"},
		{"unmask=/sys/fs/*", true, "rw"},
		{"unmask=ALL", false, "ro"},
		{"unmask=/sys/fs/cgroup", false, "ro"},
		{"unmask=/sys/*", true, "ro"},
		{"unmask=/proc/acpi", true, "ro"},
		{"systempaths=unconfined", true, "ro"},
	} {
		in := gsInput(t)
		in.Host.CgroupV2 = c.v2
		doc := generate(t, in, Options{SecurityOptions: SecurityOptions{SecurityOpt: []string{c.option}}}).Document
		found := false
		for _, m := range doc.get("mounts").each() {
			if m.member("destination").text() != "/sys/fs/cgroup" {
				continue
			}
			found = true
			var options []string
			for _, o := range m.member("options").each() {
				options = append(options, o.text())
			}
			if other := map[string]string{"rw": "ro", "ro": "rw"}[c.want]; !slices.Contains(options, c.want) || slices.Contains(options, other) {
				t.Errorf("%s, version 2 %v: options %q, want %s", c.option, c.v2, options, c.want)
			}
		}
		if !found {
			t.Errorf("%s, version 2 %v: no mount on /sys/fs/cgroup", c.option, c.v2)
		}
	}
}
