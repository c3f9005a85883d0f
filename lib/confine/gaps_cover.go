//go:build cover

package confine

import "os"

// gapsForTests is where a build for make cover leaves what it counted.
func gapsForTests() []string {
	if dir := os.Getenv("GOCOVERDIR"); dir != "" {
		return []string{dir}
	}
	return nil
}
