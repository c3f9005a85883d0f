package cli

import (
	"fmt"
	"os"
	"strings"
)

// owner is the uid of the caller outside of its user namespace. Inside one that
// an ordinary user has made, uid 0 owns nothing of the host: the directories of
// root are not for it, and those of two users must not meet.
func owner() int {
	mapping, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return os.Geteuid()
	}
	return outside(string(mapping), os.Geteuid())
}

// outside finds uid in the lines "inside outside size" of a uid_map.
func outside(mapping string, uid int) int {
	for line := range strings.Lines(mapping) {
		var in, out, size int
		if _, err := fmt.Sscan(line, &in, &out, &size); err == nil && uid >= in && uid-in < size {
			return out + uid - in
		}
	}
	return uid
}
