package spec

import (
	"path"
	"strings"

	"github.com/oci-plumbing/oci-plumbing/lib/fault"
)

// isCDI reports whether a device is named VENDOR/CLASS=NAME, as the container
// device interface has it.
func isCDI(d string) bool {
	kind, name, ok := strings.Cut(d, "=")
	return ok && !path.IsAbs(d) && name != "" && strings.Count(kind, "/") == 1
}

func (b *builder) cdiDevice(d string) error {
	return fault.Usage("--device %s: no such CDI device", d)
}
