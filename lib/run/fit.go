package run

import (
	"os"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// CheckFit finds out before the runtime does that it cannot run this config
// here, where that is sure.
func CheckFit(c *Config, r Runtime) error {
	if r.kind() == kindCrun && hybridCgroups() && !isScript(r.Path) {
		return fault.Hint(fault.WithStatus(StatusFailed, fault.Refused("%s does not run on this host: its cgroups are in hybrid mode (v1 with a v2 tree beside)", r.Path)),
			"use another runtime: --runtime runc")
	}
	if os.Geteuid() != 0 && !c.hasNamespace("user") && r.kind() != kindRunsc {
		err := fault.WithStatus(StatusFailed, fault.Refused("the config has no user namespace, without which only root can run it"))
		if hint := namespaceHint("operation not permitted"); hint != "" {
			return fault.Hint(err, "%s", hint)
		}
		return fault.Hint(err, "make a config for this user: oci-genspec --rootless BUNDLE")
	}
	return nil
}

// isScript reports whether the program is a wrapper, which may mend what is
// wrong.
func isScript(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 2)
	n, err := f.Read(head)
	return err == nil && n == 2 && string(head) == "#!"
}
