//go:build cover

package confine

import (
	"os"

	"golang.org/x/sys/unix"
)

// gapsForTests is where a build for make cover leaves what it counted. Another
// user's process cannot get there.
func gapsForTests() []string {
	dir := os.Getenv("GOCOVERDIR")
	if dir == "" || unix.Access(dir, unix.W_OK|unix.X_OK) != nil {
		return nil
	}
	return []string{dir}
}
