// Package capability tells what this process may do.
package capability

import "golang.org/x/sys/unix"

// Has reports whether the capability, one of unix.CAP_*, is effective
// (capabilities(7)).
func Has(capability uint) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	return unix.Capget(&header, &sets[0]) == nil && sets[capability/32].Effective&(1<<(capability%32)) != 0
}
